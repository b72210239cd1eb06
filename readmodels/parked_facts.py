"""Facts that a projector could not apply, and all later ones of their streams: where they are, and why they wait.

They hold places, never what the facts say: that is read from the log again when they are retried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runtime.clock import rfc3339
from runtime.postgres import Connection, Postgres
from runtime.statements import load_statements

SQL = load_statements(__file__)

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFact:
    stream: str
    partition: int
    seq: int
    number: int
    log_offset: int
    type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactPlace:
    """Where the log holds a fact."""

    partition: int
    seq: int
    number: int
    log_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedStream:
    """A stream that waits: its first fact, which could not be applied, and how many there are with those behind."""

    projector: str
    stream: str
    partition: int
    seq: int
    number: int
    type: str
    reason: str
    parked_at: datetime
    facts: int

    def as_object(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "position": f"{self.partition}:{self.seq}",
            "type": self.type,
            "reason": self.reason,
            "facts": self.facts,
            "parked_at": rfc3339(self.parked_at),
        }


async def streams_parked(
    tx: Connection, projectors: Sequence[str], partitions: Iterable[int]
) -> dict[str, set[str]]:
    """By projector."""
    found: dict[str, set[str]] = {projector: set() for projector in projectors}
    for row in await tx.fetch(SQL["streams"], list(projectors), list(partitions)):
        found[row["projector"]].add(row["stream"])
    return found


async def park(tx: Connection, projector: str, facts: Iterable[ParkedFact]) -> None:
    columns = [(f.stream, f.partition, f.seq, f.number, f.log_offset, f.type, f.reason) for f in facts]
    await tx.execute(SQL["park"], projector, *map(list, zip(*columns, strict=True)))


async def count_parked(tx: Connection, projector: str) -> int:
    row = await tx.fetch_one(SQL["count"], projector)
    assert row is not None
    return int(row["streams"])


async def counts_parked(postgres: Postgres) -> dict[str, int]:
    """Of every version of every read model."""
    return {row["projector"]: row["streams"] for row in await postgres.fetch(SQL["counts"])}


async def streams_of(postgres: Postgres, projector: str) -> tuple[str, ...]:
    return tuple(row["stream"] for row in await postgres.fetch(SQL["streams_of"], projector))


async def parked_places(connection: Connection, projector: str, stream: str) -> tuple[FactPlace, ...]:
    return tuple(FactPlace(**row) for row in await connection.fetch(SQL["facts"], projector, stream))


async def blame(tx: Connection, projector: str, stream: str, reason: str) -> None:
    """Say why the stream's first fact still cannot be applied."""
    await tx.execute(SQL["blame"], projector, stream, reason)


async def release(tx: Connection, projector: str, stream: str) -> None:
    await tx.execute(SQL["release"], projector, stream)


async def parked_streams(postgres: Postgres) -> tuple[ParkedStream, ...]:
    """At most MOST_SHOWN of them, by projector and stream."""
    return tuple(ParkedStream(**row) for row in await postgres.fetch(SQL["shown"], MOST_SHOWN))
