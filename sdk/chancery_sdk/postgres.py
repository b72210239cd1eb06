"""A subscriber's memory in its own PostgreSQL, so that what it does and how far it came are one transaction."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from chancery_sdk.checkpoints import (
    Checkpoint,
    Checkpoints,
    DeadLetter,
    OutrunError,
    StoreUnavailableError,
)
from chancery_sdk.events import Event, Place

Transaction = Any
"""An `asyncpg.Connection` within a transaction."""

_TABLES = Path(__file__).with_suffix(".sql").read_text()
_LOCK_SPACE = 0x43484E43
_LOOK_SECONDS = 1.0
_ACQUIRE_SECONDS = 10.0
_SPARE_CONNECTIONS = 2
_PASSING_CLASSES = {"08", "25", "40", "53", "55", "57", "58", "XX"}
"""SQLSTATE classes that tell of the server or of others, not of the statement."""
_NOTICE_DEAD_CLIENTS = (
    "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3"
)
"""So that the turn of a process whose machine is gone passes on within seconds."""

_LOAD = """
select source, seq, number, sequence, next_offset from chancery_checkpoints
where consumer = $1 and partition = $2"""
_ADVANCE = """
update chancery_checkpoints set source = $3, seq = $4, number = $5, sequence = $6, next_offset = $7
where consumer = $1 and partition = $2
  and (source, coalesce(seq, -1), coalesce(number, -1), sequence, next_offset)
    = ($8, coalesce($9, -1), coalesce($10, -1), $11, $12)"""
_BEGIN = """
insert into chancery_checkpoints (consumer, partition, source, seq, number, sequence, next_offset)
values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing"""
_DEAD_SUBJECTS = "select distinct subject from chancery_dead_letters where consumer = $1 and partition = $2"
_BURY = """
insert into chancery_dead_letters (consumer, partition, seq, number, subject, event, reason, tries)
values ($1, $2, $3, $4, $5, $6, $7, $8)"""
_BLAME = """
update chancery_dead_letters set reason = $5, tries = $6
where consumer = $1 and partition = $2 and seq = $3 and number = $4"""
_DEAD_LETTERS = """
select event, reason, tries from chancery_dead_letters
where consumer = $1 and ($2::integer is null or partition = $2)
order by partition, seq, number for update"""
_FORGET = """
delete from chancery_dead_letters
where consumer = $1 and partition = $2 and seq = $3 and number = $4"""


class PostgresCheckpoints(Checkpoints[Transaction]):
    """`consumer` names one subscriber: processes with the same name share its partitions and its place.

    The pool needs a connection for each partition that is followed, and two more. A transaction in which nothing is
    asked for `idle_seconds` is ended by the server: a process that sleeps in the middle of one keeps nobody waiting.
    """

    takes_back = True

    def __init__(self, pool: "asyncpg.Pool[Any]", consumer: str, *, idle_seconds: float = 30.0) -> None:
        self._pool = pool
        self._consumer = consumer
        self._bound = f"set local idle_in_transaction_session_timeout = {int(idle_seconds * 1000)}"

    def require_room(self, partitions: int) -> None:
        wanted, size = partitions + _SPARE_CONNECTIONS, self._pool.get_max_size()
        if size < wanted:
            raise ValueError(
                f"the pool has {size} connections; {partitions} partitions need max_size={wanted}"
            )

    async def create_tables(self) -> None:
        """Safe to run again, and by several processes at once."""
        async with self.transaction() as tx:
            await tx.execute("select pg_advisory_xact_lock($1, 0)", _LOCK_SPACE)
            await tx.execute(_TABLES)

    @contextlib.asynccontextmanager
    async def turn(self, partition: int) -> AsyncIterator[None]:
        async with self._connection() as connection:
            await connection.execute(_NOTICE_DEAD_CLIENTS)
            key = f"{self._consumer}/{partition}"
            lock = "select pg_try_advisory_lock($1, hashtext($2))"
            while not await connection.fetchval(lock, _LOCK_SPACE, key):  # noqa: ASYNC110  # another process has it
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                yield
            finally:
                await connection.execute("select pg_advisory_unlock($1, hashtext($2))", _LOCK_SPACE, key)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._connection() as connection, connection.transaction():
            await connection.execute(self._bound)
            yield connection

    async def load(self, partition: int) -> Checkpoint | None:
        async with self._connection() as connection:
            row = await connection.fetchrow(_LOAD, self._consumer, partition)
        if row is None:
            return None
        place = None if row["seq"] is None else Place(seq=row["seq"], number=row["number"])
        return Checkpoint(
            source=row["source"], place=place, sequence=row["sequence"], next_offset=row["next_offset"]
        )

    async def advance(
        self, tx: Transaction, partition: int, before: Checkpoint | None, after: Checkpoint
    ) -> None:
        sql, earlier = (_BEGIN, ()) if before is None else (_ADVANCE, _values(before))
        done = await tx.execute(sql, self._consumer, partition, *_values(after), *earlier)
        if not done.endswith(" 1"):
            raise OutrunError

    async def dead_subjects(self, tx: Transaction, partition: int) -> set[str]:
        return {row["subject"] for row in await tx.fetch(_DEAD_SUBJECTS, self._consumer, partition)}

    async def bury(self, tx: Transaction, letter: DeadLetter) -> None:
        event = letter.event
        place = (event.partition, event.place.seq, event.place.number)
        told = (event.subject, _render(event), _storable(letter.reason), letter.tries)
        await tx.execute(_BURY, self._consumer, *place, *told)

    async def blame(self, tx: Transaction, letter: DeadLetter) -> None:
        event = letter.event
        place = (event.partition, event.place.seq, event.place.number)
        await tx.execute(_BLAME, self._consumer, *place, _storable(letter.reason), letter.tries)

    async def dead_letters(self, tx: Transaction, partition: int | None = None) -> Sequence[DeadLetter]:
        return [
            DeadLetter(event=_parse(row["event"]), reason=row["reason"], tries=row["tries"])
            for row in await tx.fetch(_DEAD_LETTERS, self._consumer, partition)
        ]

    async def forget(self, tx: Transaction, event: Event) -> None:
        place = (event.partition, event.place.seq, event.place.number)
        done = await tx.execute(_FORGET, self._consumer, *place)
        if not done.endswith(" 1"):
            raise OutrunError

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=_ACQUIRE_SECONDS) as connection:
                yield connection
        except (OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"PostgreSQL: {type(error).__name__}") from error
        except Exception as error:
            for one in (error, error.__cause__):
                if _passes(one):
                    raise StoreUnavailableError(f"PostgreSQL: {type(one).__name__}") from error
            raise


def _passes(error: BaseException | None) -> bool:
    """Whether it is the server's trouble, also where a handler met it. A ValueError is about what was given."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _PASSING_CLASSES
    is_client_trouble = isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)
    return is_client_trouble and not isinstance(error, ValueError)


def _storable(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    return text.replace("\x00", "\ufffd")


def _values(checkpoint: Checkpoint) -> tuple[Any, ...]:
    place = checkpoint.place
    where = (None, None) if place is None else (place.seq, place.number)
    return (checkpoint.source, *where, checkpoint.sequence, checkpoint.next_offset)


def _render(event: Event) -> str:
    return json.dumps({**asdict(event), "time": event.time.isoformat()})


def _parse(text: str) -> Event:
    fields = json.loads(text)
    event = Event(**{**fields, "place": Place(**fields["place"])})
    return replace(event, time=datetime.fromisoformat(fields["time"]))
