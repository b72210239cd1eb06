"""The audit: one entry for each fact that people may see, by when it was committed. Entries are never changed.

Law of pages: whoever remembers the horizon of the first page, and where the page before ended, sees everything
that was there when the walk began exactly once, whatever is projected meanwhile.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements

SQL = load_statements(__file__)

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an entry stands in the order of all entries. `number` is its fact's place in the commit."""

    at: datetime
    partition: int
    seq: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`details` are the fact's public fields; `ip` and `user_agent` are None where it has none, or once erased."""

    place: Place
    type: str
    account_id: str | None
    client_id: str | None
    actor_kind: str
    actor_id: str
    trace_id: str | None
    details: Mapping[str, Any]
    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """`since` is part of the span, `until` is not."""

    account_id: str | None = None
    type: str | None = None
    since: datetime = EARLIEST
    until: datetime = LATEST


Horizon = Sequence[int]
"""By partition: the last commit that a walk shows."""
START = Place(at=LATEST, partition=0, seq=0, number=0)


async def audit_horizon(postgres: Postgres | Connection, partitions: int) -> tuple[int, ...]:
    """What can be read from now on, at least."""
    seqs = {row["partition"]: row["seq"] for row in await postgres.fetch(SQL["horizon"])}
    return tuple(seqs.get(number, -1) for number in range(partitions))


async def audit_page(
    postgres: Postgres | Connection, wanted: AuditFilter, horizon: Horizon, after: Place, limit: int
) -> tuple[AuditEntry, ...]:
    """Newest first: at most `limit` entries after the given place and not beyond the horizon."""
    span = (wanted.since, wanted.until, list(horizon))
    values = (*span, after.at, after.partition, after.seq, after.number, limit)
    if wanted.account_id is not None:
        rows = await postgres.fetch(SQL["page_of_account"], *values, wanted.account_id, wanted.type)
    elif wanted.type is not None:
        rows = await postgres.fetch(SQL["page_of_type"], *values, wanted.type)
    else:
        rows = await postgres.fetch(SQL["page"], *values)
    return tuple(_entry(row) for row in rows)


async def has_audit_of(postgres: Postgres, account_id: str) -> bool:
    row = await postgres.fetch_one(SQL["has_account"], account_id)
    return row is not None and row["is_there"]


def _entry(row: Row) -> AuditEntry:
    place = Place(at=row["at"], partition=row["partition"], seq=row["seq"], number=row["number"])
    names = ("type", "account_id", "client_id", "actor_kind", "actor_id", "trace_id", "ip", "user_agent")
    return AuditEntry(place=place, details=json.loads(row["details"]), **{name: row[name] for name in names})
