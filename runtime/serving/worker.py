"""Processes without requests: their work, and beside it an HTTP port for health and metrics."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.serving.app import Vitals, new_app
from runtime.serving.server import serve_http

DRAIN_SECONDS = 6.0
"""What is in hand at SIGTERM may take so long; then it is cancelled."""
_LOOK_SECONDS = 0.02


class Rest:
    """How a process that is about to end tells its work: finish what is in hand, begin nothing new."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._busy = 0

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Something is in hand while the block lasts."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def wait(self, seconds: float) -> None:
        """Return after so long, or as soon as it is asked; a moment later if it was asked before."""
        if self.is_asked:
            await asyncio.sleep(_LOOK_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()

    async def ask(self, seconds: float) -> None:
        """Return once nothing is in hand, or after so long."""
        self._asked.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._busy:  # noqa: ASYNC110  # work ends in many places
                    await asyncio.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    title: str
    host: str
    port: int


async def serve_worker(
    work: Callable[[Rest], Coroutine[Any, Any, None]], vitals: Vitals, listen: Listen
) -> None:
    """Returns after SIGTERM or SIGINT, once the work has rested, was cancelled and has closed; raises what ended it."""
    app, rest = new_app(listen.title, vitals), Rest()
    working = asyncio.create_task(work(rest))
    serving = asyncio.create_task(serve_http(app, host=listen.host, port=listen.port))
    await asyncio.wait((working, serving), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        await rest.ask(DRAIN_SECONDS)
    working.cancel()
    serving.cancel()
    await asyncio.wait((working, serving))
    for task in (working, serving):
        if not task.cancelled():
            task.result()
