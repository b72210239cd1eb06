"""E-mail addresses by the name that the log has for them: who holds one, and whose registration waits for its code.

An address that nobody holds or waits for has no row.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "identifiers")


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """`identifier` is the HMAC of the address. `holder` and those who wait, oldest first, are ids of accounts.

    `claims` are the holder's, at least one while there is a holder: its own id for its sign-up, else a change's id.
    """

    identifier: str
    holder: str | None = None
    claims: tuple[str, ...] = ()
    held_since: datetime | None = None
    waiting: tuple[str, ...] = ()

    @property
    def account_ids(self) -> tuple[str, ...]:
        """Everybody that it names, once."""
        holder = () if self.holder is None else (self.holder,)
        return (*holder, *(one for one in self.waiting if one != self.holder))


async def identifier_by_name(postgres: Postgres, identifier: str) -> Identifier:
    """One that names nobody, if there is no row."""
    row = await postgres.fetch_one(_SERVED["rows"], [identifier])
    return Identifier(identifier=identifier) if row is None else _identifier(row)


async def identifier_rows(tx: Connection, name: str, identifiers: Iterable[str]) -> dict[str, Identifier]:
    rows = await tx.fetch(of_table(SQL, name)["rows"], list(identifiers))
    return {row["identifier"]: _identifier(row) for row in rows}


def _identifier(row: Row) -> Identifier:
    return Identifier(**{**row, "claims": tuple(row["claims"]), "waiting": tuple(row["waiting"])})
