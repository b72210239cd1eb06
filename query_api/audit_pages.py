"""Pages of the audit, newest first, by cursors.

Guarantee: everything that was visible when the first page was read, and fits the filters, appears exactly once
over the pages of that walk, and nothing else does. What comes later, however old it is, is for the next walk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from query_api.cursors import Cursor, parse_cursor, render_cursor
from query_api.positions import Positions, position_header
from readmodels.audit import (
    EARLIEST,
    LATEST,
    START,
    AuditEntry,
    AuditFilter,
    Horizon,
    audit_horizon,
    audit_page,
)
from runtime.clock import rfc3339
from runtime.postgres import Postgres
from runtime.serving.answers import AnswerError, HttpAnswer, failure, json_answer

PROJECTOR = "audit"
_NEVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One page of the list `walk`. `given` are the filters that came with this request."""

    walk: str
    given: AuditFilter
    cursor: str | None
    limit: int


class AuditPages:
    def __init__(self, postgres: Postgres, positions: Positions, key: bytes, *, partitions: int) -> None:
        self._postgres = postgres
        self._positions = positions
        self._key = key
        self._partitions = partitions

    async def page(
        self, request: Request, asked: Asked, view: Callable[[AuditEntry], dict[str, Any]]
    ) -> HttpAnswer:
        """One page as `view` shows its entries, or 400 `bad-cursor`, or 503 where the tables fell back."""
        cursor = None if asked.cursor is None else self._continued(request, asked, asked.cursor)
        least = await self._positions.wait(request, PROJECTOR)
        async with self._postgres.snapshot() as tx:
            visible = await audit_horizon(tx, self._partitions)
            if cursor is None:
                cursor = Cursor(after=START, horizon=visible, wanted=asked.given)
            wanted = tuple(least.get(number, _NEVER) for number in range(self._partitions))
            for asked_for in (wanted, cursor.horizon):
                self._require_all_of(request, asked_for, visible)
            entries = await audit_page(tx, cursor.wanted, cursor.horizon, cursor.after, asked.limit + 1)
        content = {
            "items": [view(entry) for entry in entries[: asked.limit]],
            "next": self._next(asked, cursor, entries),
        }
        return json_answer(200, content, _shown(cursor.horizon))

    def _continued(self, request: Request, asked: Asked, text: str) -> Cursor:
        """The cursor; filters may be left out with it, and must be its own if they are not."""
        cursor = parse_cursor(self._key, asked.walk, text)
        is_ours = cursor is not None and len(cursor.horizon) == self._partitions
        if cursor is None or not is_ours or not _agree(asked.given, cursor.wanted):
            title = "The cursor is not one of this list with these filters. Begin again without it."
            raise AnswerError(failure(request.url.path, 400, "bad-cursor", title))
        return cursor

    def _require_all_of(self, request: Request, wanted: Horizon, visible: Horizon) -> None:
        """A read model that is built again in place lacks what it showed before: to whoever waited, on earlier pages."""
        if any(seq > now for seq, now in zip(wanted, visible, strict=True)):
            title = "The read model does not show all of this any more. Try again."
            headers = {"retry-after": "1"}
            raise AnswerError(failure(request.url.path, 503, "projection-behind", title, headers))

    def _next(self, asked: Asked, cursor: Cursor, entries: Sequence[AuditEntry]) -> str | None:
        if len(entries) <= asked.limit:
            return None
        after = entries[asked.limit - 1].place
        return render_cursor(
            self._key, asked.walk, Cursor(after=after, horizon=cursor.horizon, wanted=cursor.wanted)
        )


def admin_view(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": rfc3339(entry.place.at),
        "position": f"{entry.place.partition}:{entry.place.seq}",
        "number": entry.place.number,
        "type": entry.type,
        "account_id": entry.account_id,
        "client_id": entry.client_id,
        "actor": {"kind": entry.actor_kind, "id": entry.actor_id or None},
        "trace_id": entry.trace_id,
        "details": dict(entry.details),
        "ip": entry.ip,
        "user_agent": entry.user_agent,
    }


def owner_view(entry: AuditEntry) -> dict[str, Any]:
    """As administrators see it, but for what would tell an owner of strangers' addresses.

    A change to an address that somebody else has is ignored without a word, so here too it looks like any other.
    """
    shown = admin_view(entry)
    if entry.type in ("email_change.requested", "email_change.ignored"):
        shown |= {"type": "email_change.requested", "details": {}}
    return shown


def _agree(given: AuditFilter, wanted: AuditFilter) -> bool:
    """Whether every filter that was given is the one wanted."""
    return (
        given.account_id in (None, wanted.account_id)
        and given.type in (None, wanted.type)
        and given.since in (EARLIEST, wanted.since)
        and given.until in (LATEST, wanted.until)
    )


def _shown(horizon: Horizon) -> dict[str, str]:
    return position_header({number: seq for number, seq in enumerate(horizon) if seq > _NEVER})
