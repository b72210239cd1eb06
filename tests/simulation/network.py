"""The network between clients and replicas, and between replicas: requests and answers are delayed and lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.simulation.loop import SimulatedLoop
from tests.simulation.replica import Replica
from tests.simulation.wire import Sky, fail, settle

T = TypeVar("T")
_LATE_LOSS = 0.5
"""How often a request that is lost was lost after its sender thought it sent."""


class LostError(Exception):
    """The connection broke: what was asked for may happen, may have happened, or may never happen."""


class RefusedError(Exception):
    """Nobody took the request: nothing of it can happen."""


class Network:
    def __init__(self, sky: Sky, loop: SimulatedLoop) -> None:
        self._sky = sky
        self._loop = loop

    async def ask(self, replica: Replica, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have the work done in the replica's process. Waits for ever if that dies on the way."""
        sky = self._sky
        answer: asyncio.Future[T] = self._loop.create_future()
        if sky.has(sky.weather.refused):
            error = LostError if sky.has(_LATE_LOSS) else RefusedError
            sky.later(sky.delay(), fail, answer, error("the request was lost"))
        else:
            sky.later(sky.delay(), self._arrive, replica, work, answer)
        return await answer

    def _arrive(
        self, replica: Replica, work: Callable[[], Coroutine[Any, Any, T]], answer: "asyncio.Future[T]"
    ) -> None:
        if not replica.process.is_alive:
            self._sky.later(self._sky.delay(), fail, answer, RefusedError("nobody listens"))
            return
        task = self._loop.spawn(replica.process, work())
        task.add_done_callback(lambda done: self._answered(done, answer), context=self._sky.world)

    def _answered(self, done: "asyncio.Task[T]", answer: "asyncio.Future[T]") -> None:
        sky = self._sky
        if sky.has(sky.weather.unanswered):
            sky.later(sky.delay(), fail, answer, LostError("the answer was lost"))
        elif done.exception() is not None:
            sky.later(sky.delay(), fail, answer, LostError("the request failed"))
        else:
            sky.later(sky.delay(), settle, answer, done.result())
