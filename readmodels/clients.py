"""Machine clients: what each may ask for, and the digests that its secret is checked against. Deleted ones stay."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "clients")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`secret_digests` are base64url SHA-256 of the live secrets; none are left of a deleted client."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digests: tuple[str, ...] = field(repr=False)
    created_at: datetime
    deleted_at: datetime | None = None


async def client_by_id(postgres: Postgres, client_id: str) -> Client | None:
    row = await postgres.fetch_one(_SERVED["rows"], [client_id])
    return None if row is None else _client(row)


async def client_rows(tx: Connection, name: str, client_ids: Iterable[str]) -> dict[str, Client]:
    rows = await tx.fetch(of_table(SQL, name)["rows"], list(client_ids))
    return {row["client_id"]: _client(row) for row in rows}


def _client(row: Row) -> Client:
    lists = {name: tuple(row[name]) for name in ("scopes", "audiences", "secret_digests")}
    return Client(**{**row, **lists})
