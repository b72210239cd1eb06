"""Shares partitions among processes of one kind, evenly: who has a partition's lock works on it.

The locks live in one connection to PostgreSQL, so they end when the process does, when it hangs, or with the
database. They are for order's sake: what two processes may not both do is fenced where it is stored.

A partition is let go between two batches: when another process comes and has less than its share, when the
consumer is paused, or when this process is about to end.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from projectors.keep_going import Course, stop_if_cancelled
from readmodels.tables import create_tables
from runtime.postgres import Connection, Postgres
from runtime.serving.worker import Rest
from runtime.statements import load_statements

LOOK_SECONDS = 0.5
"""So often a process looks whether it should have more partitions, or fewer."""
LOST_SECONDS = 3.0
"""A process that hangs for so long has lost its partitions; it looks six times in that time."""
LET_GO_SECONDS = 5.0
"""What is in hand is cut off after that."""

_SQL = load_statements(__file__)

Work = Callable[[Connection, Course], Awaitable[None]]
"""What is done with a partition, by whoever has it. It ends where the partition halts, or is to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The database in which processes share their partitions, and how this one is told to end."""

    postgres: Postgres
    rest: Rest = field(default_factory=Rest)


class Turns:
    def __init__(self, sharing: Sharing, session: Course, courses: Sequence[Course], work: Work) -> None:
        self._postgres = sharing.postgres
        self._session = session
        self._courses = {course.partition: course for course in courses}
        self._work = work
        self._rest = sharing.rest
        self._consumer = courses[0].consumer
        self._lock = f"chancery {self._consumer}"
        self._working: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, float] = {}
        self.has_looked = False
        """Whether it is known which partitions are this process's own."""

    async def take(self) -> None:
        """Everything that hangs on one connection: it ends, and all of this with it. Let it be a task of its own."""
        await create_tables(self._postgres)
        async with self._postgres.dedicated(idle_seconds=LOST_SECONDS) as connection:
            await connection.execute(_SQL["join"], self._lock)
            self._session.reached_end()
            try:
                while True:
                    stop_if_cancelled()
                    await self._look(connection)
                    await self._rest.wait(LOOK_SECONDS)
            finally:
                await _cut_off(self._working.values())
                self._working.clear()
                self._resting.clear()

    async def _look(self, connection: Connection) -> None:
        await self._give_back(connection)
        row = await connection.fetch_one(_SQL["look"], self._lock, self._consumer)
        assert row is not None
        share = -(-len(self._courses) // max(1, row["members"]))
        if row["is_paused"] or self._rest.is_asked:
            share = 0
        going = sorted(self._working.keys() - self._resting.keys())
        for partition in going[share:]:
            self._courses[partition].rests()
            self._resting[partition] = time.monotonic()
        await self._take_more(connection, share - len(going))
        self.has_looked = True

    async def _give_back(self, connection: Connection) -> None:
        """The partitions whose work has ended; what ended it otherwise ends all turns."""
        late = time.monotonic() - LET_GO_SECONDS
        await _cut_off([self._working[number] for number, since in self._resting.items() if since < late])
        for partition in [number for number, task in self._working.items() if task.done()]:
            task = self._working.pop(partition)
            is_resting = self._resting.pop(partition, None) is not None
            if not (is_resting and task.cancelled()):
                task.result()
            await connection.execute(_SQL["unlock"], self._lock, partition)

    async def _take_more(self, connection: Connection, count: int) -> None:
        """What halted here is left to others, who will halt too, or know better."""
        for partition, course in self._courses.items():
            if partition in self._working or course.halted is not None:
                continue
            row = await connection.fetch_one(_SQL["try_lock"], self._lock, partition) if count > 0 else None
            if row is not None and row["is_ours"]:
                course.goes_on()
                self._working[partition] = asyncio.create_task(self._in_turn(connection, course))
                count -= 1
            else:
                course.reached_end()  # to stand by is to be well

    async def _in_turn(self, connection: Connection, course: Course) -> None:
        with self._rest.busy():
            await self._work(connection, course)


async def _cut_off(tasks: Iterable["asyncio.Task[None]"]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
