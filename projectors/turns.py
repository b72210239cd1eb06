"""Shares partitions among processes of one kind, evenly: who has a partition's lock works on it.

The locks live in one connection to PostgreSQL, so they end when the process does, when it hangs, or with the
database. They are for order's sake: what two processes may not both do is fenced where it is stored.

A partition is let go between two batches: when another process comes and has less than its share, when the
consumer is paused, or when this process is about to end.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from projectors.keep_going import Course, stop_if_cancelled
from readmodels.tables import create_tables, definitions
from runtime.postgres import Connection, Postgres
from runtime.serving.worker import Rest
from runtime.statements import load_statements

LOOK_SECONDS = 0.5
"""So often a process looks whether it should have more partitions, or fewer."""
LOST_SECONDS = 3.0
"""A process that hangs for so long has lost its partitions; it looks six times in that time."""
ORPHANED_LOOKS = 4
"""A partition that changes hands is free for fewer."""
LET_GO_SECONDS = 5.0
"""What is in hand is cut off after that."""

_SQL = load_statements(__file__)

Work = Callable[[Connection, Course], Awaitable[None]]
"""What is done with a partition, by whoever has it. It ends where the partition halts, or is to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The database in which processes share their partitions, and how this one is told to end.

    Releases that define the tables otherwise do not stand in for one another.
    """

    postgres: Postgres
    rest: Rest = field(default_factory=Rest)
    release: str = field(default_factory=definitions)


def lock_of(consumer: str, release: str = "") -> str:
    """What those who share have in common; of this release if it is not said otherwise."""
    return (
        f"chancery {consumer} {release or definitions()}" if consumer == "tables" else f"chancery {consumer}"
    )


class Turns:
    def __init__(self, sharing: Sharing, session: Course, courses: Sequence[Course], work: Work) -> None:
        self._postgres = sharing.postgres
        self._session = session
        self._courses = {course.partition: course for course in courses}
        self._work = work
        self._rest = sharing.rest
        self._consumer = courses[0].consumer
        self._lock = lock_of(self._consumer, sharing.release)
        self._working: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, float] = {}
        self._members = 0
        self._orphans: set[int] = set()
        """Those beyond this process's share, which nobody else works on: elsewhere they halted."""
        self._free_looks: Counter[int] = Counter()
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
                self._orphans.clear()
                self._free_looks.clear()

    async def _look(self, connection: Connection) -> None:
        await self._give_back(connection)
        row = await connection.fetch_one(_SQL["look"], self._lock, self._consumer)
        assert row is not None
        if row["members"] != self._members:
            self._members = row["members"]
            self._orphans.clear()
        share = -(-len(self._courses) // max(1, self._members))
        if row["is_paused"] or self._rest.is_asked:
            share = 0
            self._orphans.clear()
        going = sorted(self._working.keys() - self._resting.keys() - self._orphans)
        for partition in going[share:]:
            self._courses[partition].rests()
            self._resting[partition] = time.monotonic()
        await self._take_more(connection, share - len(going))
        if share:
            await self._adopt(connection, self._courses.keys() - set(row["taken"]))
        self.has_looked = True

    async def _give_back(self, connection: Connection) -> None:
        """The partitions whose work has ended; what ended it otherwise ends all turns."""
        late = time.monotonic() - LET_GO_SECONDS
        for number, since in self._resting.items():
            if since < late:
                self._working[number].cancel()  # when it ends is seen at a later look
        for partition in [number for number, task in self._working.items() if task.done()]:
            task = self._working.pop(partition)
            is_resting = self._resting.pop(partition, None) is not None
            self._orphans.discard(partition)
            if not (is_resting and task.cancelled()):
                task.result()
            await connection.execute(_SQL["unlock"], self._lock, partition)

    async def _adopt(self, connection: Connection, free: set[int]) -> None:
        """Partitions that nobody has for several looks, whatever the share: whoever had them halted there."""
        for partition in list(self._free_looks):
            if partition not in free:
                del self._free_looks[partition]
        for partition in free - self._working.keys():
            self._free_looks[partition] += 1
            if self._free_looks[partition] > ORPHANED_LOOKS and await self._try(connection, partition):
                self._orphans.add(partition)

    async def _try(self, connection: Connection, partition: int) -> bool:
        course = self._courses[partition]
        if course.halted is not None:
            return False
        row = await connection.fetch_one(_SQL["try_lock"], self._lock, partition)
        if row is None or not row["is_ours"]:
            return False
        course.goes_on()
        self._working[partition] = asyncio.create_task(self._in_turn(connection, course))
        return True

    async def _take_more(self, connection: Connection, count: int) -> None:
        """What halted here is left to others, who will halt too, or know better."""
        for partition, course in self._courses.items():
            if partition in self._working or course.halted is not None:
                continue
            if count > 0 and await self._try(connection, partition):
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
