"""Access tokens of machine clients that were given up before they expired; and what PostgreSQL knows of any."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from runtime.postgres import Postgres
from runtime.statements import load_statements

SQL = load_statements(__file__)

Verdict = Literal["revoked", "live", "unknown"]
"""`unknown` is for whoever asks to refuse: the read models are behind, or cannot be reached."""

_PROJECTORS = ("clients", "revoked_tokens", "sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """What an access token can be revoked by. A client's token has no session; only that has `client_id`."""

    session_id: str | None
    jti: str
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedToken:
    jti: str
    client_id: str
    revoked_at: datetime
    expires_at: datetime


async def table_verdicts(
    postgres: Postgres, tokens: Sequence[TokenIds], *, partitions: int, stale: timedelta
) -> tuple[Verdict, ...]:
    """In the tokens' order. `live` only if every partition was applied to its end within `stale`."""
    rows = await postgres.fetch(
        SQL["verdicts"],
        [token.session_id for token in tokens],
        [token.jti for token in tokens],
        [token.client_id for token in tokens],
        partitions * len(_PROJECTORS),
        stale,
        list(_PROJECTORS),
    )
    return tuple(_verdict(is_revoked=row["is_revoked"], is_fresh=row["is_fresh"]) for row in rows)


def _verdict(*, is_revoked: bool, is_fresh: bool) -> Verdict:
    if is_revoked:
        return "revoked"
    return "live" if is_fresh else "unknown"
