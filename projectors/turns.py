"""Shares partitions among processes of one kind: who has a partition's lock works on it, the others stand by.

The locks live in one connection to PostgreSQL, so they end when the process does, or the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from projectors.keep_going import Course, stop_if_cancelled
from runtime.postgres import Connection, Postgres, PostgresUnavailableError
from runtime.statements import load_statements

STAND_BY_SECONDS = 1.0
STAY_AWAKE_SECONDS = 2.0

_SQL = load_statements(__file__)

Work = Callable[[Connection, Course], Awaitable[None]]
"""What is done with a partition, by whoever has it. It ends only where the partition halts."""


class Turns:
    def __init__(self, postgres: Postgres, session: Course, courses: Sequence[Course], work: Work) -> None:
        self._postgres = postgres
        self._session = session
        self._courses = courses
        self._work = work
        self._halted: set[int] = set()

    async def take(self) -> None:
        """Everything that hangs on one connection: it ends, and all of this with it.

        Let it be a task of its own, because a TaskGroup of Python 3.11 that fails leaves its task counted as
        cancelled.
        """
        async with self._postgres.dedicated() as connection:
            self._session.reached_end()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_stay_awake(connection))
                    for course in self._courses:
                        if course.partition not in self._halted:
                            tasks.create_task(self._in_turn(connection, course))
            except* PostgresUnavailableError as group:
                raise PostgresUnavailableError(str(group.exceptions[0])) from None

    async def _in_turn(self, connection: Connection, course: Course) -> None:
        await _wait_for_turn(connection, course)
        await self._work(connection, course)
        self._halted.add(course.partition)


async def _stay_awake(connection: Connection) -> None:
    while True:
        stop_if_cancelled()
        await connection.execute(_SQL["stay_awake"])
        await asyncio.sleep(STAY_AWAKE_SECONDS)


async def _wait_for_turn(connection: Connection, course: Course) -> None:
    """Wait until this connection has the partition. To stand by is to be well."""
    while True:
        stop_if_cancelled()
        row = await connection.fetch_one(_SQL["try_lock"], f"chancery {course.consumer}", course.partition)
        if row is not None and row["is_ours"]:
            return
        course.reached_end()
        await asyncio.sleep(STAND_BY_SECONDS)
