"""The public halves of every key that ever signed an access token, or will soon."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "signing_keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """`public_jwk` holds the members of the RFC 7517 key. `retires_at` is None until another key follows."""

    kid: str
    alg: str
    public_jwk: Mapping[str, str]
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None = None


async def all_signing_keys(postgres: Postgres) -> tuple[SigningKey, ...]:
    """Oldest first."""
    return _keys(await postgres.fetch(_SERVED["all"]))


async def signing_key_rows(tx: Connection, name: str) -> tuple[SigningKey, ...]:
    return _keys(await tx.fetch(of_table(SQL, name)["all"]))


def _keys(rows: Sequence[Row]) -> tuple[SigningKey, ...]:
    return tuple(SigningKey(**{**row, "public_jwk": json.loads(row["public_jwk"])}) for row in rows)
