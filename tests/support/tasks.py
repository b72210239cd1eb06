"""Running something beside a test, and waiting for what it brings about."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


@contextlib.asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The coroutines run while the block does, and are cancelled at its end; the failure of one ends the block."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_seconds: float = 10.0) -> None:
    """Return as soon as `holds` does; TimeoutError if it never does within the bound."""
    async with asyncio.timeout(within_seconds):
        while not await holds():  # noqa: ASYNC110  # what is waited for lies in other processes
            await asyncio.sleep(0.01)


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """As in Python 3.12's itertools."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
