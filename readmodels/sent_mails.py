"""What became of every mail, and how far the mailer has come: its memory, so that a restart sends none twice.

It cannot be built anew from the log, and so lives in a schema of its own, apart from the read models.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from readmodels.checkpoints import Checkpoint
from runtime.postgres import Connection, Row
from runtime.statements import load_statements

SQL = load_statements(__file__)

MailOutcome = Literal["sent", "expired", "erased", "refused", "deferred", "limited"]
"""A deferred mail is to be tried again; every other outcome is for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """`sent_at` is when the outcome was known, `offset` where the log has the commit that asks for the mail."""

    message_id: str
    partition: int
    seq: int
    offset: int
    sent_at: datetime
    outcome: MailOutcome


async def is_recorded(connection: Connection, message_id: str) -> bool:
    row = await connection.fetch_one(SQL["is_recorded"], message_id)
    return row is not None and bool(row["is_recorded"])


async def record_mail(tx: Connection, mail: SentMail) -> None:
    """The first outcome stays, unless it was a deferral."""
    place = (mail.partition, mail.seq, mail.offset)
    await tx.execute(SQL["record"], mail.message_id, *place, mail.sent_at, mail.outcome)


async def deferred_mails(connection: Connection, partition: int, limit: int) -> list[SentMail]:
    """Mails to be tried again, those first that were tried longest ago."""
    return [SentMail(**row) for row in await connection.fetch(SQL["deferred"], partition, limit)]


async def begin_checkpoint(connection: Connection, partition: int, log_id: str) -> Checkpoint | None:
    """The stored checkpoint; without one, the mailer begins before the genesis of this log."""
    await connection.execute(SQL["begin_checkpoint"], partition, log_id)
    return await read_checkpoint(connection, partition)


async def read_checkpoint(connection: Connection, partition: int) -> Checkpoint | None:
    return _checkpoint(await connection.fetch_one(SQL["read_checkpoint"], partition))


async def lock_checkpoint(tx: Connection, partition: int) -> Checkpoint | None:
    """As stored, and nobody else's until the transaction ends."""
    return _checkpoint(await tx.fetch_one(SQL["lock_checkpoint"], partition))


async def advance_checkpoint(tx: Connection, partition: int, reached: Checkpoint) -> None:
    place = (reached.seq, reached.hash, reached.next_offset)
    await tx.execute(SQL["advance_checkpoint"], partition, *place)


def _checkpoint(row: Row | None) -> Checkpoint | None:
    return None if row is None else Checkpoint(**row)
