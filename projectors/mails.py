"""Which facts are told by mail, to whom, and with which values. The words are in `mail_templates/`."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from events.account import AccountRegistered, PasswordResetRequested, SignUpRepeated, VerificationRequested
from events.email_change import EmailChanged, EmailChangeRequested
from events.streams import base32
from eventstore.facts import RecordedFact
from projectors.mail_text import MailKind, Wording, render_mail
from runtime.codes import MailedCodes

HANDLES = frozenset(
    {
        AccountRegistered,
        VerificationRequested,
        SignUpRepeated,
        PasswordResetRequested,
        EmailChangeRequested,
        EmailChanged,
    }
)
NOTICE_LIFETIME = timedelta(hours=1)
"""Later, nobody remembers having signed up, and the notice would only worry."""

Allowance = Literal["strangers", "owner"]
"""Out of which allowance of its mailbox a mail goes. Anybody can cause the mails of the first by typing an address;
those of the second tell an owner of what happens to the account, and the first must not be able to use them up."""
_ALLOWANCES: dict[MailKind, Allowance] = {
    "verification": "strangers",
    "verification-again": "strangers",
    "sign-up-repeated": "strangers",
    "email-change": "strangers",
    "password-reset": "owner",
    "email-changed": "owner",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMail:
    """`recipient` is None once the account was erased; after `expires_at` the mail helps nobody."""

    message_id: str
    kind: MailKind
    expires_at: datetime
    recipient: str | None = field(repr=False)
    wording: Wording

    @property
    def allowance(self) -> Allowance:
        return _ALLOWANCES[self.kind]


def plan_mail(fact: RecordedFact, codes: MailedCodes, domain: str) -> PlannedMail | None:
    """The mail that tells of this fact; the same for ever, message id included."""
    match fact.event:
        case AccountRegistered() as event:
            return _verification(event, codes, domain, kind="verification")
        case VerificationRequested() as event:
            return _verification(event, codes, domain, kind="verification-again")
        case PasswordResetRequested() as event:
            return _password_reset(event, codes, domain)
        case EmailChangeRequested() as event:
            return _email_change(event, codes, domain)
        case EmailChanged() as event:
            return _email_changed(fact, event, codes, domain)
        case SignUpRepeated() as event:
            return PlannedMail(
                message_id=_message_id("notice", event.notice_id, domain),
                kind="sign-up-repeated",
                expires_at=fact.at + NOTICE_LIFETIME,
                recipient=event.email,
                wording=render_mail("sign-up-repeated", at=_minute(fact.at)),
            )
        case _:
            return None


def _verification(
    event: AccountRegistered | VerificationRequested, codes: MailedCodes, domain: str, *, kind: MailKind
) -> PlannedMail:
    wording = render_mail(
        kind,
        at=_minute(event.registered_at),
        until=_minute(event.code_expires_at),
        code=codes.verification(event.challenge_id),
    )
    return PlannedMail(
        message_id=_message_id("challenge", event.challenge_id, domain),
        kind=kind,
        expires_at=event.code_expires_at,
        recipient=event.email,
        wording=wording,
    )


def _password_reset(event: PasswordResetRequested, codes: MailedCodes, domain: str) -> PlannedMail:
    wording = render_mail(
        "password-reset",
        at=_minute(event.requested_at),
        until=_minute(event.code_expires_at),
        code=codes.password_reset(event.challenge_id),
    )
    return PlannedMail(
        message_id=_message_id("password-reset", event.challenge_id, domain),
        kind="password-reset",
        expires_at=event.code_expires_at,
        recipient=event.email,
        wording=wording,
    )


def _email_change(event: EmailChangeRequested, codes: MailedCodes, domain: str) -> PlannedMail:
    wording = render_mail(
        "email-change",
        at=_minute(event.requested_at),
        until=_minute(event.code_expires_at),
        code=codes.email_change(event.change_id),
    )
    return PlannedMail(
        message_id=_message_id("email-change", event.change_id, domain),
        kind="email-change",
        expires_at=event.code_expires_at,
        recipient=event.email,
        wording=wording,
    )


def _email_changed(fact: RecordedFact, event: EmailChanged, codes: MailedCodes, domain: str) -> PlannedMail:
    """To the address that was left: the way back, as long as there is one."""
    wording = render_mail(
        "email-changed",
        at=_minute(fact.at),
        until=_minute(event.undo_until),
        code=codes.undo(fact.stream.removeprefix("account-"), event.change_id),
    )
    return PlannedMail(
        message_id=_message_id("email-changed", event.change_id, domain),
        kind="email-changed",
        expires_at=event.undo_until,
        recipient=event.previous_email,
        wording=wording,
    )


def _message_id(purpose: str, identity: str, domain: str) -> str:
    """Follows from what the mail is about, so that a mail sent twice can be recognised as one."""
    digest = hashlib.sha256(f"chancery/mail/v1\x00{purpose}\x00{identity}".encode()).digest()
    return f"<{base32(digest[:20])}@{domain}>"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
