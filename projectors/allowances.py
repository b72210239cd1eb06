"""How many mails a mailbox gets in an hour: nobody can flood it, and nobody can silence what its owner must learn.

Two allowances, counted apart. The mails of the first can be caused by anybody who types an address; those of the
second tell an owner what happens to the account.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from projectors.mails import Allowance, PlannedMail
from readmodels.mailbox_uses import MailboxUse, forget_uses, take_use
from runtime.email_address import canonical_email
from runtime.encoding import base64url
from runtime.keys import keyed_digest
from runtime.postgres import Connection

PERIOD = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """`mails` bounds what strangers can cause, `notices` what tells the owner."""

    mailbox_key: bytes = field(repr=False)
    mails: int
    notices: int

    async def allow(self, connection: Connection, mail: PlannedMail, recipient: str, now: datetime) -> bool:
        """Whether the mail may be sent; if so, it has taken from the allowance, once however often it asks."""
        if mail.allowance == "unbounded":
            return True
        use = MailboxUse(
            message_id=mail.message_id,
            mailbox=self._mailbox(recipient),
            allowance=mail.allowance,
            used_at=now,
        )
        return await take_use(connection, use, since=now - PERIOD, limit=self._limit(mail.allowance))

    async def forget(self, connection: Connection, now: datetime) -> None:
        """What is so old that it does not count is not kept."""
        await forget_uses(connection, now - PERIOD)

    def _limit(self, allowance: Allowance) -> int:
        return self.mails if allowance == "strangers" else self.notices

    def _mailbox(self, recipient: str) -> str:
        """A name for the mailbox. What follows a `+` is a sub-address (RFC 5233), which floods the same mailbox."""
        address = canonical_email(recipient) or recipient
        local, _, domain = address.rpartition("@")
        return base64url(keyed_digest(self.mailbox_key, local.partition("+")[0].encode(), domain.encode()))
