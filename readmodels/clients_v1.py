"""Machine clients: what each may ask for, and the digest that its secret is checked against."""

from dataclasses import dataclass, field
from datetime import datetime

from readmodels.statements import load_statements
from runtime.postgres import Postgres

SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`secret_digest` is base64url SHA-256 of the secret."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digest: str = field(repr=False)
    created_at: datetime


async def client_by_id(postgres: Postgres, client_id: str) -> Client | None:
    row = await postgres.fetch_one(SQL["by_id"], client_id)
    if row is None:
        return None
    return Client(**{**row, "scopes": tuple(row["scopes"]), "audiences": tuple(row["audiences"])})
