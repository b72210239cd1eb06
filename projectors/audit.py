"""Builds `audit`: every fact that `audit_facts` shows, as one entry, in PostgreSQL partitions of a month each.

Law: an entry follows from its fact alone, so neither batches nor other entries show in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from operator import attrgetter
from typing import Any, Self

import msgspec

from events.fact import Event
from events.streams import category_of
from eventstore.facts import RecordedFact
from projectors.audit_facts import SHOWN
from projectors.projector import Versioned, storable
from runtime.clock import rfc3339
from runtime.postgres import Connection, PostgresRejectedError
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)
_TRACE_PARTS = 4


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row, column by column."""

    at: datetime
    partition: int
    seq: int
    number: int
    type: str
    account_id: str | None
    client_id: str | None
    actor_kind: str
    actor_id: str
    trace_id: str | None
    details: dict[str, Any]
    ip: str | None
    user_agent: str | None


MonthThere = tuple[int, int, tzinfo | None]
"""A year, a month, and where that is counted."""

_COLUMNS = AuditRow.__struct_fields__
_BEFORE_DETAILS = attrgetter(*_COLUMNS[: _COLUMNS.index("details")])


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Month:
    """The table of one month: its name, its first moment and that of the next one, in UTC."""

    name: str
    first: datetime
    next: datetime

    @classmethod
    def of(cls, table: str, at: datetime) -> Self:
        first = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)  # noqa: PLR2004  # December
        following = first.replace(year=year, month=month)
        return cls(name=f"{table}_{first:%Y_%m}", first=first, next=following)


class Audit(Versioned):
    read_model = "audit"
    parks = True
    handles = frozenset(SHOWN)

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self._there: set[MonthThere] = set()
        """Months whose tables were found there. Where that turns out wrong, all are looked for again."""

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        months = _months_of(facts)
        if not months.keys() <= self._there and await _found_months(
            tx, self.name, {Month.of(self.name, at) for at in months.values()}
        ):
            self._there |= months.keys()
        try:
            await tx.copy("chancery", self.name, _COLUMNS, [_record(audit_row(fact)) for fact in facts])
        except PostgresRejectedError:
            self._there.clear()
            raise


def _months_of(facts: Sequence[RecordedFact]) -> Mapping[MonthThere, datetime]:
    """One moment of each month in which a fact was committed."""
    return {(fact.at.year, fact.at.month, fact.at.tzinfo): fact.at for fact in facts}


async def _found_months(tx: Connection, table: str, months: Iterable[Month]) -> bool:
    """Whether all tables were there. Make those that are missing, one projector at a time; another that waits finds them made."""
    by_name, sql = {month.name: month for month in months}, of_table(_SQL, table)
    if not await tx.fetch(sql["missing"], list(by_name)):
        return True
    await tx.execute(sql["lock"])
    for row in await tx.fetch(sql["missing"], list(by_name)):
        month = by_name[row["name"]]
        first, following = month.first.isoformat(), month.next.isoformat()
        await tx.execute(sql["create"].format(month=month.name, first=first, next=following))
    return False


def audit_row(fact: RecordedFact) -> AuditRow:
    event = fact.event
    category, stream_id = category_of(fact.stream), fact.stream.partition("-")[2]
    return AuditRow(
        at=fact.at,
        partition=fact.position.partition,
        seq=fact.position.seq,
        number=fact.number,
        type=event.type,
        account_id=stream_id if category == "account" else getattr(event, "account_id", None),
        client_id=stream_id if category == "client" else None,
        actor_kind=fact.actor.kind,
        actor_id=storable(fact.actor.id) or "",
        trace_id=_trace_id(fact.trace),
        details=_details(event),
        ip=storable(getattr(event, "ip", None)),
        user_agent=storable(getattr(event, "user_agent", None)),
    )


def _details(event: Event) -> dict[str, Any]:
    return {name: _storable(getattr(event, name)) for name in SHOWN[type(event)]}


def _record(row: AuditRow) -> tuple[Any, ...]:
    details = msgspec.json.encode(row.details).decode() if row.details else "{}"
    return (*_BEFORE_DETAILS(row), details, row.ip, row.user_agent)


def _trace_id(traceparent: str) -> str | None:
    """The second part of a W3C traceparent; None if the commit carries none."""
    if not traceparent:
        return None
    parts = traceparent.split("-")
    return storable(parts[1]) if len(parts) == _TRACE_PARTS else None


def _storable(value: Any) -> Any:
    """As `storable`, for a field that may also be a number, a time or a list of texts."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return value
