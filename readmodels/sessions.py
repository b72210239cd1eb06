"""Sessions: how they began, when they were last seen, and how they ended. Ended ones stay."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "sessions")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """`generation` is that of the current refresh token. `ended_at` is None while nobody ended it."""

    session_id: str
    account_id: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    acr: str
    generation: int
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    ended_at: datetime | None = None
    ended_cause: str | None = None

    def is_live(self, at: datetime) -> bool:
        return self.ended_at is None and at < min(self.idle_expires_at, self.expires_at)


async def session_by_id(postgres: Postgres, session_id: str) -> Session | None:
    row = await postgres.fetch_one(_SERVED["rows"], [session_id])
    return None if row is None else _session(row)


async def live_sessions(postgres: Postgres, account_id: str, at: datetime) -> tuple[Session, ...]:
    """The account's sessions that are neither ended nor expired at `at`, newest first."""
    return tuple(_session(row) for row in await postgres.fetch(_SERVED["live"], account_id, at))


async def session_rows(tx: Connection, name: str, session_ids: Iterable[str]) -> dict[str, Session]:
    rows = await tx.fetch(of_table(SQL, name)["rows"], list(session_ids))
    return {row["session_id"]: _session(row) for row in rows}


def _session(row: Row) -> Session:
    return Session(**{**row, "amr": tuple(row["amr"])})
