"""Which mails took from the allowance of their mailbox: kept for as long as they count, then forgotten.

A mailbox is named by a keyed digest; no address is here. A use is taken before a mail is sent and belongs to its
message id, so a mailer that dies before it has recorded the mail finds its use again and takes no second one.
"""

from dataclasses import dataclass
from datetime import datetime

from runtime.postgres import Connection
from runtime.statements import load_statements

SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxUse:
    message_id: str
    mailbox: str
    allowance: str
    used_at: datetime


async def take_use(connection: Connection, use: MailboxUse, *, since: datetime, limit: int) -> bool:
    """Whether the mail may go: fewer than `limit` others went to its mailbox since then.

    Mailers that ask for one mailbox at the same time take turns, so that they cannot pass the limit together.
    """
    values = (use.message_id, use.mailbox, use.allowance, use.used_at)
    async with connection.transaction() as tx:
        await tx.execute(SQL["lock_mailbox"], use.mailbox)
        await tx.execute(SQL["use"], *values, since, limit)
        row = await tx.fetch_one(SQL["has_use"], use.message_id)
    return row is not None and bool(row["has_use"])


async def forget_uses(connection: Connection, until: datetime) -> None:
    await connection.execute(SQL["forget"], until)
