"""An event loop without real time: seeded chance picks which process takes the next step, and when one dies.

Within a process, callbacks run in asyncio's order; between processes any interleaving can happen. A process that
is killed never runs again, not even its `finally` blocks; one that stands keeps what comes for when it wakes.
Time is virtual: every step takes a little of it, and it jumps when nobody has anything to do.
"""

import asyncio
import contextlib
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class StuckError(Exception):
    """Nobody can ever run again, or nobody comes to an end, although the main task waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`persistence` is how likely the same process goes on; a process named in `slow` is often passed over."""

    persistence: float
    step_seconds: float
    slow: int


class Process:
    """One simulated operating-system process: its callbacks in order, and the step at which something happens."""

    __slots__ = (
        "at_step",
        "context",
        "is_alive",
        "is_standing",
        "name",
        "number",
        "ready",
        "steps",
        "strike",
    )

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.is_alive = True
        self.is_standing = False
        self.steps = 0
        self.at_step = -1
        self.strike: Callable[[], None] = _nothing
        self.context = contextvars.Context()
        self.context.run(_PROCESS.set, self)


_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


def _nothing() -> None:
    return


class SimulatedLoop(asyncio.AbstractEventLoop):
    """`steps` orders everything that happens; `choices` says who took each step."""

    def __init__(self, chance: random.Random, pace: Pace, *, max_steps: int) -> None:
        self._chance = chance
        self._pace = pace
        self._max_steps = max_steps
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._timers_made = 0
        self._runnable: list[Process] = []
        self._last: Process | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_closed = False
        self.steps = 0
        self.choices = bytearray()
        self.complaints: list[str] = []

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._is_closed

    def is_closed(self) -> bool:
        return self._is_closed

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        if not self._is_closed:
            self._enqueue(context[_PROCESS], handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._is_closed:
            self._timers_made += 1
            heapq.heappush(self._timers, (when, self._timers_made, timer, context[_PROCESS]))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Such a timer is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # the killed never end
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An exception that nobody asks for any more is no news: its process may be dead."""
        if "never retrieved" not in context["message"] and not self._is_closed:
            self.complaints.append(f"{context['message']}: {context.get('exception')!r}")

    # What the simulation asks of it.

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run it as a task of that process."""
        task: asyncio.Task[T] = self.create_task(coroutine, context=process.context.copy())
        return task

    def kill(self, process: Process) -> None:
        process.is_alive = False
        process.ready.clear()
        self._sideline(process)

    def pause(self, process: Process) -> None:
        process.is_standing = True
        self._sideline(process)

    def resume(self, process: Process) -> None:
        process.is_standing = False
        if process.ready and process not in self._runnable:
            self._runnable.append(process)

    def run(self, process: Process, coroutine: Coroutine[Any, Any, T]) -> T:
        """Until the main task ends, whatever the others are at."""
        asyncio._set_running_loop(self)  # noqa: SLF001  # as asyncio's own loops do
        try:
            main = self.spawn(process, coroutine)
            while not main.done():
                self._step()
            return main.result()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # as above

    def close(self) -> None:
        """Take apart what never ended, so that nothing of it wakes in another simulation."""
        self._is_closed = True
        asyncio._set_running_loop(self)  # noqa: SLF001  # what is taken apart may ask for its loop
        try:
            for task in self._tasks:
                if not task.done():
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # as above
        self._tasks.clear()
        self._timers.clear()

    def _enqueue(self, process: Process, handle: asyncio.Handle) -> None:
        if process.is_alive:
            if not process.ready and not process.is_standing:
                self._runnable.append(process)
            process.ready.append(handle)

    def _sideline(self, process: Process) -> None:
        if process in self._runnable:
            self._runnable.remove(process)

    def _step(self) -> None:
        self._wake()
        process = self._chosen()
        handle = process.ready.popleft()
        if not process.ready:
            self._runnable.remove(process)
        if handle.cancelled():
            return
        self.steps += 1
        if self.steps > self._max_steps:
            raise StuckError(f"no end after {self.steps} steps")
        self._now += self._pace.step_seconds
        self.choices.append(process.number)
        process.steps += 1
        handle._run()  # noqa: SLF001  # as asyncio's own loops do
        if process.steps == process.at_step:
            process.strike()

    def _wake(self) -> None:
        """What is due becomes ready; if nothing is, the time of the next that will be has come."""
        timers = self._timers
        while timers and (timers[0][0] <= self._now or not self._runnable):
            when, _, timer, process = heapq.heappop(timers)
            if not timer.cancelled() and process.is_alive:
                self._now = max(self._now, when)
                self._enqueue(process, timer)

    def _chosen(self) -> Process:
        runnable = self._runnable
        if not runnable:
            raise StuckError("everybody waits for somebody else")
        if len(runnable) == 1:
            self._last = runnable[0]
            return self._last
        draw = self._chance.random
        if self._last in runnable and draw() < self._pace.persistence:
            return self._last
        chosen = runnable[int(draw() * len(runnable))]
        if chosen.number == self._pace.slow:
            chosen = runnable[int(draw() * len(runnable))]
        self._last = chosen
        return chosen


def new_loop(chance: random.Random, pace: Pace, *, max_steps: int) -> SimulatedLoop:
    """What nobody here asks of a loop (sockets, threads, signals) it has not got."""
    return SimulatedLoop(chance, pace, max_steps=max_steps)  # type: ignore[abstract]  # as said
