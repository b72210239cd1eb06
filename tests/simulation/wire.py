"""What lies between a process and a store: requests and answers take time, get lost, and outlive who sent them."""

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Any, TypeVar

from tests.simulation.weather import Weather

T = TypeVar("T")


class Sky:
    """The weather that everybody is under. `world` is the context of what happens outside every process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chance: random.Random,
        weather: Weather,
        world: contextvars.Context | None,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.weather = weather
        self.world = world

    def has(self, probability: float) -> bool:
        return probability > 0 and self.chance.random() < probability

    def delay(self) -> float:
        seconds = self.chance.random() * self.weather.delay_seconds
        return seconds * 30 if self.has(self.weather.slow) else seconds

    def lateness(self) -> float:
        return self.chance.random() * self.weather.late_seconds

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back from outside every process, so that nobody's death prevents it."""
        self.loop.call_later(seconds, callback, *args, context=self.world)


class Wire:
    """One process's connection to something that does its work at one moment."""

    def __init__(self, sky: Sky, error: Callable[[str], Exception]) -> None:
        self._sky = sky
        self._error = error

    async def ask(self, work: Callable[[], T]) -> T:
        """What `work` returns; the error if it was not done, or if that is not known."""
        sky, weather = self._sky, self._sky.weather
        answer: asyncio.Future[T] = sky.loop.create_future()
        if sky.has(weather.refused):
            sky.later(sky.delay(), fail, answer, self._error("refused"))
        elif sky.has(weather.late):
            sky.later(sky.delay(), fail, answer, self._error("no answer"))
            sky.later(sky.delay() + sky.lateness(), work)
        elif sky.has(weather.unanswered):
            sky.later(sky.delay(), self._work_unheard, answer, work)
        else:
            sky.later(sky.delay(), self._work, answer, work)
        return await answer

    def _work(self, answer: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        self._sky.later(self._sky.delay(), settle, answer, work())

    def _work_unheard(self, answer: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        work()
        self._sky.later(self._sky.delay(), fail, answer, self._error("the answer was lost"))


def settle(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
