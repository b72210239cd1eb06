"""Running something beside a test, and waiting for what it brings about."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The coroutines run while the block does, and are cancelled at its end; their failures are raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_seconds: float = 10.0) -> None:
    """Return as soon as `holds` does; TimeoutError if it never does within the bound."""
    async with asyncio.timeout(within_seconds):
        while not await holds():  # noqa: ASYNC110  # what is waited for lies in other processes
            await asyncio.sleep(0.01)
