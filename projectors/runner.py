"""Brings every partition of the log into one store, and says how fresh that store is.

The store keeps the checkpoint together with what was applied, so a runner may be killed anywhere, run twice,
or wake up late: a checkpoint that is not where this runner left it means that somebody else is ahead.
"""

import asyncio
import time
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
from projectors.lag import Lag
from projectors.metrics import Metrics
from projectors.parking import NOT_POISON
from projectors.traces import leave_spans
from projectors.turns import Sharing, Turns
from readmodels.consumer_reports import Report
from runtime.health import Health
from runtime.postgres import Connection
from runtime.serving.worker import Rest

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

    async def set_aside(self, partition: int, batch: Batch) -> None:
        """Take in a commit that could not be applied, with the streams parked that are to blame. Else it raises."""
        ...

    async def confirm(self, partition: int) -> None: ...

    async def ask_time(self) -> datetime:
        """The store's own time."""
        ...

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        """Mark partitions that were applied up to their ends, asked for after `asked_at`; which they are."""
        ...


class Runner:
    """With `sharing`, processes share the partitions by turns in that database; else each does all of them.

    What a token's fate depends on must not stand still because PostgreSQL does: Valkey is not shared.
    """

    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        sink: Sink,
        health: Health,
        metrics: Metrics,
        sharing: Sharing | Rest | None = None,
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._sink = sink
        self._metrics = metrics
        self._courses = [Course(sink.name, n, health, metrics) for n in range(log.partitions)]
        self._heads = dict.fromkeys(range(log.partitions), Head())
        self._ours: set[int] = set()
        """Partitions that this process brings on, or that halted in its hands."""
        self._opened: set[int] = set()
        """Of those: whose place in the store is known. What the store holds of others may be of another history."""
        self._lags = {number: Lag() for number in range(log.partitions)}
        self._pulse = Course(f"{sink.name}-freshness", 0, health, metrics)
        for course in (*self._courses, self._pulse):
            course.waits("has not reached the end of the log yet")
        self._session = Course(f"{sink.name}-session", 0, health, metrics)
        self._turns: Turns | None = None
        self._rest = sharing if isinstance(sharing, Rest) else Rest()
        if isinstance(sharing, Sharing):
            self._turns = Turns(sharing, self._session, self._courses, self._in_turn)

    @property
    def consumer(self) -> str:
        return self._sink.name

    def reports(self) -> tuple[Report, ...]:
        """How far each partition is that is this process's own, and whose end was asked for already."""
        return tuple(
            Report(
                partition=number,
                seq=self._heads[number].seq,
                next_offset=self._heads[number].next_offset,
                log_end=lag.log_end,
                lag_seconds=lag.seconds(self._heads[number].next_offset, time.monotonic()),
                halted=self._courses[number].halted,
            )
            for number, lag in self._lags.items()
            if lag.log_end is not None and number in self._ours
        )

    async def run(self) -> None:
        """Until cancelled. A partition that halts stays halted; the others go on."""
        async with asyncio.TaskGroup() as tasks:
            if self._turns is not None:
                turns = self._turns
                tasks.create_task(keep_going(self._session, lambda: asyncio.create_task(turns.take())))
            else:
                tasks.create_task(self._rest_when_asked())
                for course in self._courses:
                    tasks.create_task(self._unshared(course))
            tasks.create_task(keep_going(self._pulse, self._beat_on))

    async def _in_turn(self, _: Connection, course: Course) -> None:
        number = course.partition
        self._ours.add(number)
        self._lags[number] = Lag()
        try:
            await keep_going(course, partial(self._follow, course))
        finally:
            if course.halted is None:
                self._ours.discard(number)
                self._opened.discard(number)

    async def _unshared(self, course: Course) -> None:
        self._ours.add(course.partition)
        with self._rest.busy():
            await keep_going(course, partial(self._follow, course))

    async def _rest_when_asked(self) -> None:
        while not self._rest.is_asked:
            await self._rest.wait(IDLE_SECONDS)
        for course in self._courses:
            course.rests()

    async def _follow(self, course: Course) -> None:
        number = course.partition
        log_id = await read_log_id(self._log, number)
        head = await self._sink.open(number, log_id)
        if head.next_offset < self._heads[number].next_offset:
            self._lags[number] = Lag()
        self._heads[number] = head
        self._opened.add(number)
        follower = Follower(self._log, self._keyring, number, head, self._sink.handles)
        end = await self._log.end(number, at_least=head.next_offset)
        while not course.is_resting:
            stop_if_cancelled()
            self._heads[number] = follower.head
            if follower.head.next_offset >= end:
                course.reached_end()
            batch = await follower.next(wait_seconds=IDLE_SECONDS)
            if batch is None:
                await self._sink.confirm(number)
            else:
                await self._apply(number, batch)

    async def _apply(self, number: int, batch: Batch) -> None:
        """What stands before and behind a fact that cannot be applied is applied all the same."""
        began = time.time_ns()
        try:
            await self._sink.apply(number, batch)
        except NOT_POISON:
            raise
        except Exception:  # noqa: BLE001  # commit by commit it turns out what it was
            for single in batch.split():
                await self._apply_single(number, single)
        leave_spans("project", self._sink.name, batch, began)

    async def _apply_single(self, number: int, single: Batch) -> None:
        try:
            await self._sink.apply(number, single)
        except NOT_POISON:
            raise
        except Exception:  # noqa: BLE001  # the store says what becomes of it
            await self._sink.set_aside(number, single)

    async def _beat_on(self) -> None:
        while True:
            stop_if_cancelled()
            ours, is_settled = self._ours.copy(), self._turns is None or self._turns.has_looked
            await self._beat()
            if is_settled and ours == self._ours:
                self._pulse.reached_end()
            await asyncio.sleep(BEAT_SECONDS)

    async def _beat(self) -> None:
        """Ask the time, then the log's ends, then mark who has got there: so a mark never claims too much.

        What was applied beyond the log's end is of another history, and never whole; nor is what halted.
        """
        asked_at, asked = await self._sink.ask_time(), time.monotonic()
        opened = self._opened.copy()
        applied = {number: self._heads[number].next_offset for number in self._ours}
        found = await asyncio.gather(
            *(self._log.end(number, at_least=offset) for number, offset in applied.items()),
            return_exceptions=True,
        )
        ends = {number: end for number, end in zip(applied, found, strict=True) if isinstance(end, int)}
        for number, end in ends.items():
            self._lags[number].ends_at(end, asked)
        await self._mark(
            asked_at,
            {
                number: end
                for number, end in ends.items()
                if number in opened and end >= applied[number] and self._courses[number].halted is None
            },
        )
        failures = [error for error in found if isinstance(error, BaseException)]
        if failures:
            raise failures[0]

    async def _mark(self, asked_at: datetime, ends: dict[int, int]) -> None:
        """Those that have not got there yet may in a moment."""
        for _ in range(_MARK_TRIES):
            for number in await self._sink.mark_fresh(asked_at, ends):
                ends.pop(number, None)
            if not ends:
                return
            await asyncio.sleep(_MARK_PAUSE_SECONDS)
