"""What became of every mail: the mailer's memory, so that a restart sends none twice."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from readmodels.statements import load_statements
from runtime.postgres import Connection

SQL = load_statements(__file__)

MailOutcome = Literal["sent", "expired", "erased", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """`sent_at` is when the outcome was known."""

    message_id: str
    partition: int
    seq: int
    sent_at: datetime
    outcome: MailOutcome


async def is_recorded(connection: Connection, message_id: str) -> bool:
    row = await connection.fetch_one(SQL["is_recorded"], message_id)
    return row is not None and bool(row["is_recorded"])


async def record_mail(tx: Connection, mail: SentMail) -> None:
    await tx.execute(SQL["record"], mail.message_id, mail.partition, mail.seq, mail.sent_at, mail.outcome)
