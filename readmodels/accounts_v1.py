"""Accounts as their owners see them. Only active ones can sign in; pending ones wait for their code."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from readmodels.statements import load_statements
from runtime.postgres import Connection, Postgres

SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`email` is the address as its owner wrote it, None once the account was erased."""

    account_id: str
    status: Literal["pending", "active"]
    email: str | None
    email_verified: bool
    display_name: str | None
    created_at: datetime


async def account_by_id(postgres: Postgres, account_id: str) -> Account | None:
    """The account, if it can sign in."""
    row = await postgres.fetch_one(SQL["active"], account_id)
    return None if row is None else Account(**row)


async def account_rows(tx: Connection, account_ids: Iterable[str]) -> dict[str, Account]:
    """Accounts of any status, by id."""
    return {row["account_id"]: Account(**row) for row in await tx.fetch(SQL["rows"], list(account_ids))}
