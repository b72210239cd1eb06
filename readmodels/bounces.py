"""Mails that were refused for good, and whether the Command API knows: a report is owed until it has said so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runtime.postgres import Connection
from runtime.statements import load_statements

SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    message_id: str
    account_id: str
    kind: str


async def owe_report(tx: Connection, bounce: Bounce, now: datetime) -> None:
    """In the transaction that records the mail as refused."""
    await tx.execute(SQL["owe"], bounce.message_id, bounce.account_id, bounce.kind, now)


async def due_reports(connection: Connection, limit: int) -> Sequence[Bounce]:
    """Those first that were tried longest ago."""
    return [Bounce(**row) for row in await connection.fetch(SQL["due"], limit)]


async def postpone_report(connection: Connection, bounce: Bounce, now: datetime) -> None:
    await connection.execute(SQL["postpone"], bounce.message_id, now)


async def settle_report(connection: Connection, bounce: Bounce, now: datetime) -> None:
    await connection.execute(SQL["settle"], bounce.message_id, now)
