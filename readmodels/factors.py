"""Which second factors each account has, and when they were used last. Nothing that they consist of is here.

An account without any has no row.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements, of_table

SQL = load_statements(__file__)
_SERVED = of_table(SQL, "factors")


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """`is_synced` is whether it may be on several devices."""

    passkey_id: str
    is_synced: bool
    registered_at: datetime
    used_at: datetime | None = None


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """`passkeys` are in the order in which they were registered."""

    account_id: str
    totp_enrolled_at: datetime | None = None
    totp_used_at: datetime | None = None
    recovery_codes_issued_at: datetime | None = None
    recovery_codes_left: int = 0
    passkeys: tuple[Passkey, ...] = ()

    @property
    def names(self) -> list[str]:
        """What could answer a sign-in's challenge, by its names in the API."""
        found = {
            "totp": self.totp_enrolled_at is not None,
            "recovery_code": self.recovery_codes_left > 0,
            "passkey": bool(self.passkeys),
        }
        return [name for name, is_there in found.items() if is_there]


async def factors_of(postgres: Postgres, account_id: str) -> Factors:
    row = await postgres.fetch_one(_SERVED["rows"], [account_id])
    return Factors(account_id=account_id) if row is None else _factors(row)


async def factors_of_all(postgres: Postgres, account_ids: Iterable[str]) -> dict[str, Factors]:
    """By account; those without any are missing."""
    rows = await postgres.fetch(_SERVED["rows"], list(account_ids))
    return {row["account_id"]: _factors(row) for row in rows}


async def factor_rows(tx: Connection, name: str, account_ids: Iterable[str]) -> dict[str, Factors]:
    rows = await tx.fetch(of_table(SQL, name)["rows"], list(account_ids))
    return {row["account_id"]: _factors(row) for row in rows}


def _factors(row: Row) -> Factors:
    passkeys = msgspec.json.decode(row["passkeys"], type=tuple[Passkey, ...])
    return Factors(**{**row, "passkeys": passkeys})
