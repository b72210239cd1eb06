"""Whether a session lives, and what its current refresh token is: from Valkey where it is fresh, else the tables."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from readmodels import valkey_keys as keys
from readmodels.revocations import DEADLINE_SECONDS, Revocations
from readmodels.revoked_tokens import TokenIds
from readmodels.sessions import Session, session_by_id
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError
from runtime.redis import Valkey, ValkeyUnavailableError

Missing = Literal["ended", "unknown"]
"""`ended`: no such session lives. `unknown`: nobody can tell now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """`generation` is that of the current refresh token, which is good until `refresh_expires_at`."""

    session_id: str
    account_id: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    acr: str
    generation: int
    refreshed_at: datetime
    refresh_expires_at: datetime

    @classmethod
    def of_row(cls, row: Session) -> Self:
        return cls(
            session_id=row.session_id,
            account_id=row.account_id,
            client_id=row.client_id,
            scope=row.scope,
            amr=row.amr,
            acr=row.acr,
            generation=row.generation,
            refreshed_at=row.last_seen_at,
            refresh_expires_at=min(row.idle_expires_at, row.expires_at),
        )

    @classmethod
    def of_hash(cls, session_id: str, members: dict[str, str]) -> Self:
        return cls(
            session_id=session_id,
            account_id=members["account_id"],
            client_id=members["client_id"],
            scope=members["scope"],
            amr=tuple(members["amr"].split()),
            acr=members["acr"],
            generation=int(members["generation"]),
            refreshed_at=_moment(members["seen_ms"]),
            refresh_expires_at=min(_moment(members["idle_ms"]), _moment(members["expires_ms"])),
        )


class LiveSessions:
    def __init__(
        self,
        valkey: Valkey,
        postgres: Postgres,
        revocations: Revocations,
        *,
        partitions: int,
        stale: timedelta,
    ) -> None:
        self._find = valkey.script(keys.FIND_SESSION)
        self._postgres = postgres
        self._revocations = revocations
        self._partitions = partitions
        self._stale = stale

    async def find(self, session_id: str) -> LiveSession | Missing:
        found = await self._from_valkey(session_id)
        return await self.find_in_tables(session_id) if found == "unknown" else found

    async def find_in_tables(self, session_id: str) -> LiveSession | Missing:
        """As `find`, for who waited for a position of the tables, or has no Valkey to ask."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                row = await session_by_id(self._postgres, session_id)
        except (PostgresUnavailableError, PostgresRejectedError, TimeoutError):
            return "unknown"
        if row is not None and row.ended_at is not None:
            return "ended"
        verdict = await self._revocations.verdict_at_position(TokenIds(session_id=session_id, jti=session_id))
        if verdict == "unknown":
            return "unknown"
        return "ended" if row is None or verdict == "revoked" else LiveSession.of_row(row)

    async def _from_valkey(self, session_id: str) -> LiveSession | Missing:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                answer: Any = await self._find(
                    [keys.FRESH, keys.LOG], [self._partitions, session_id, keys.SESSIONS]
                )
        except (ValkeyUnavailableError, TimeoutError):
            return "unknown"
        age_ms, flat = int(answer[0]), [str(part) for part in answer[1]]
        if age_ms < 0 or timedelta(milliseconds=age_ms) > self._stale:
            return "unknown"
        members = dict(zip(flat[::2], flat[1::2], strict=True))
        return LiveSession.of_hash(session_id, members) if members else "ended"


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
