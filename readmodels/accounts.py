"""Accounts as their owners and administrators see them. Only active ones can sign in: pending ones wait for a code."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from runtime.postgres import Connection, Postgres
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "accounts")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """`email` is the address as its owner wrote it; None once erased. By address they are found through `identifiers`.

    `locked_until` may lie in the past: a lock-out that ran out leaves no fact.
    """

    account_id: str
    status: Literal["pending", "active", "disabled", "closed"]
    email: str | None
    email_verified: bool
    display_name: str | None
    created_at: datetime
    last_sign_in_at: datetime | None = None
    password_changed_at: datetime | None = None
    locked_until: datetime | None = None
    disabled_at: datetime | None = None
    closed_at: datetime | None = None
    erase_after: datetime | None = None


async def account_by_id(postgres: Postgres, account_id: str) -> Account | None:
    """The account, if it can sign in."""
    row = await postgres.fetch_one(_SERVED["active"], account_id)
    return None if row is None else Account(**row)


async def account_of_any_status(postgres: Postgres, account_id: str) -> Account | None:
    row = await postgres.fetch_one(_SERVED["rows"], [account_id])
    return None if row is None else Account(**row)


async def accounts_of_any_status(postgres: Postgres, account_ids: Iterable[str]) -> tuple[Account, ...]:
    """Newest first."""
    found = [Account(**row) for row in await postgres.fetch(_SERVED["rows"], list(account_ids))]
    return tuple(sorted(found, key=lambda one: (one.created_at, one.account_id), reverse=True))


async def account_rows(tx: Connection, name: str, account_ids: Iterable[str]) -> dict[str, Account]:
    """Accounts of any status, by id."""
    return {
        row["account_id"]: Account(**row)
        for row in await tx.fetch(of_table(SQL, name)["rows"], list(account_ids))
    }
