"""Brings every partition of the log into one store, and says how fresh that store is.

The store keeps the checkpoint together with what was applied, so a runner may be killed anywhere, run twice,
or wake up late: a checkpoint that is not where this runner left it means that somebody else is ahead.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Protocol

from events.fact import Event
from eventstore.chain import Head
from eventstore.keyring import Keyring
from eventstore.log import Log
from projectors.follower import Batch, Follower, read_log_id
from projectors.keep_going import Course, keep_going, stop_if_cancelled
from projectors.metrics import Metrics
from runtime.health import Health
from runtime.postgres import PostgresRejectedError

IDLE_SECONDS = 0.5
"""A partition without news looks so often whether its store still is what it was."""
BEAT_SECONDS = 0.4
_MARK_TRIES = 4
_MARK_PAUSE_SECONDS = 0.1


class Sink(Protocol):
    """A store with checkpoints. `apply` and `confirm` raise OutrunError if the checkpoint is another."""

    @property
    def name(self) -> str: ...

    @property
    def handles(self) -> frozenset[type[Event]]: ...

    async def open(self, partition: int, log_id: str) -> Head:
        """Where to read on. CorruptLogError if what the store holds does not follow from this log."""
        ...

    async def apply(self, partition: int, batch: Batch) -> None:
        """All of the batch and the new checkpoint, or nothing."""
        ...

    async def confirm(self, partition: int) -> None: ...

    async def ask_time(self) -> datetime:
        """The store's own time."""
        ...

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        """Mark partitions that were applied up to their ends, asked for after `asked_at`; which they are."""
        ...


class Runner:
    def __init__(self, log: Log, keyring: Keyring, sink: Sink, health: Health, metrics: Metrics) -> None:
        self._log = log
        self._keyring = keyring
        self._sink = sink
        self._metrics = metrics
        self._courses = [Course(sink.name, n, health, metrics) for n in range(log.partitions)]
        self._offsets = dict.fromkeys(range(log.partitions), 0)
        self._pulse = Course(f"{sink.name}-freshness", 0, health, metrics)

    async def run(self) -> None:
        """Until cancelled. A partition that halts stays halted; the others go on."""
        async with asyncio.TaskGroup() as tasks:
            for course in self._courses:
                course.waits("has not reached the end of the log yet")
                tasks.create_task(keep_going(course, partial(self._follow, course)))
            tasks.create_task(keep_going(self._pulse, self._beat_on))

    async def _follow(self, course: Course) -> None:
        number = course.partition
        log_id = await read_log_id(self._log, number)
        head = await self._sink.open(number, log_id)
        follower = Follower(self._log, self._keyring, number, head, self._sink.handles)
        end = await self._log.end(number)
        while True:
            stop_if_cancelled()
            self._offsets[number] = follower.head.next_offset
            if follower.head.next_offset >= end:
                course.reached_end()
            batch = await follower.next(wait_seconds=IDLE_SECONDS)
            if batch is None:
                await self._sink.confirm(number)
            else:
                await self._apply(number, batch)

    async def _apply(self, number: int, batch: Batch) -> None:
        """What stands before a fact that the store refuses is applied all the same."""
        try:
            await self._sink.apply(number, batch)
        except PostgresRejectedError:
            if len(batch.commits) <= 1:
                raise
            for single in batch.split():
                await self._sink.apply(number, single)

    async def _beat_on(self) -> None:
        while True:
            stop_if_cancelled()
            await self._beat()
            self._pulse.reached_end()
            await asyncio.sleep(BEAT_SECONDS)

    async def _beat(self) -> None:
        """Ask the time, then the log's ends, then mark who has got there: so a mark never claims too much."""
        asked_at = await self._sink.ask_time()
        numbers = range(self._log.partitions)
        ends = dict(zip(numbers, await asyncio.gather(*map(self._log.end, numbers)), strict=True))
        for number, end in ends.items():
            lag = max(0, end - self._offsets[number])
            self._metrics.lag.labels(self._sink.name, str(number)).set(lag)
        for _ in range(_MARK_TRIES):
            for number in await self._sink.mark_fresh(asked_at, ends):
                ends.pop(number, None)
            if not ends:
                return
            await asyncio.sleep(_MARK_PAUSE_SECONDS)
