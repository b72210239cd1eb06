"""The public halves of every key that ever signed an access token."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from readmodels.statements import load_statements
from runtime.postgres import Postgres

SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """`public_jwk` holds the members of the RFC 7517 key."""

    kid: str
    alg: str
    public_jwk: Mapping[str, str]
    created_at: datetime


async def all_signing_keys(postgres: Postgres) -> tuple[SigningKey, ...]:
    """Oldest first."""
    rows = await postgres.fetch(SQL["all"])
    return tuple(SigningKey(**{**row, "public_jwk": json.loads(row["public_jwk"])}) for row in rows)
