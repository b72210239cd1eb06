"""Which facts are told by mail, to whom, and in which words. A code stands alone on its line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from events.account import AccountRegistered, PasswordResetRequested, SignUpRepeated, VerificationRequested
from events.email_change import EmailChanged, EmailChangeRequested
from events.risk import OwnerNoticeRequested, RiskReason
from events.streams import base32
from eventstore.facts import RecordedFact
from runtime.codes import MailedCodes

HANDLES = frozenset(
    {
        AccountRegistered,
        VerificationRequested,
        SignUpRepeated,
        PasswordResetRequested,
        EmailChangeRequested,
        EmailChanged,
        OwnerNoticeRequested,
    }
)
NOTICE_LIFETIME = timedelta(hours=1)
"""Later, nobody remembers having signed up, and the notice would only worry."""
SUSPICION_LIFETIME = timedelta(days=2)
"""Worth a late mail, as long as somebody may still be kept out."""

_VERIFY = """\
Hello,

welcome to Chancery. You signed up at {at}. To prove that this address is yours, enter this code:

{code}

It is good until {until}, and only for the sign-up of that time. If you did not sign up then, ignore this mail:
nothing will happen.

Chancery
"""

_VERIFY_AGAIN = """\
Hello,

a new code was asked for, to finish the sign-up made at {at}. Here it is:

{code}

It is good until {until}, and only for the sign-up of that time; earlier codes for it are dead. If you did not
sign up then, ignore this mail: somebody else did, with a password that you do not know.

Chancery
"""

_REPEATED = """\
Hello,

at {at} somebody signed up at Chancery with this address, which already has an account. If that was you,
sign in with the password that you have. If it was not, ignore this mail: nothing was changed.

Chancery
"""

_RESET = """\
Hello,

at {at} somebody asked for a new password for your Chancery account. If that was you, enter this code together
with the new password:

{code}

It is good until {until}, and earlier codes are dead. If it was not you, ignore this mail: your password stays
as it is.

Chancery
"""

_NEW_EMAIL = """\
Hello,

at {at} somebody asked to use this address for a Chancery account. If that was you, enter this code:

{code}

It is good until {until}. If it was not you, ignore this mail: nothing will happen.

Chancery
"""

_EMAIL_CHANGED = """\
Hello,

at {at} the address of your Chancery account was changed from this one to another. If that was you, there is
nothing to do. If it was not, this code brings your address back and ends every session:

{code}

It is good until {until}. Set a new password afterwards: whoever changed the address knew the old one.

Chancery
"""

_SUSPICION = """\
Hello,

{what} at {at}. If that was you, there is nothing to do. If it was not, set a new password, which ends every
session, and look at the sessions and the activity of your account.

Chancery
"""

_SUSPICIONS: Mapping[RiskReason, str] = {
    "sign-in-failures": "somebody tried several passwords for your Chancery account",
    "guessing-source": "your Chancery account was signed in to from a network that tries many accounts",
    "unfamiliar-sign-in": "your Chancery account was signed in to from a device or network that it was not used from before",
    "unfamiliar-burst": "your Chancery account was signed in to from several new devices or networks",
    "refresh-reuse-burst": "tokens of your Chancery account were used by two at once, several times",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMail:
    """`recipient` is None once the account was erased; after `expires_at` the mail helps nobody."""

    message_id: str
    kind: str
    expires_at: datetime
    recipient: str | None = field(repr=False)
    subject: str
    text: str = field(repr=False)


def plan_mail(fact: RecordedFact, codes: MailedCodes, domain: str) -> PlannedMail | None:
    """The mail that tells of this fact; the same for ever, message id included."""
    match fact.event:
        case AccountRegistered() as event:
            return _verification(event, _VERIFY, codes, domain, kind="verification")
        case VerificationRequested() as event:
            return _verification(event, _VERIFY_AGAIN, codes, domain, kind="verification-again")
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
                subject="You already have a Chancery account",
                text=_REPEATED.format(at=_minute(fact.at)),
            )
        case OwnerNoticeRequested() as event:
            return PlannedMail(
                message_id=_message_id("owner-notice", event.notice_id, domain),
                kind="suspicion",
                expires_at=fact.at + SUSPICION_LIFETIME,
                recipient=event.email,
                subject="Was this you?",
                text=_SUSPICION.format(what=_SUSPICIONS[event.reason], at=_minute(event.requested_at)),
            )
        case _:
            return None


def _verification(
    event: AccountRegistered | VerificationRequested,
    template: str,
    codes: MailedCodes,
    domain: str,
    *,
    kind: str,
) -> PlannedMail:
    text = template.format(
        at=_minute(event.registered_at),
        until=_minute(event.code_expires_at),
        code=codes.verification(event.challenge_id),
    )
    return PlannedMail(
        message_id=_message_id("challenge", event.challenge_id, domain),
        kind=kind,
        expires_at=event.code_expires_at,
        recipient=event.email,
        subject="Your Chancery code",
        text=text,
    )


def _password_reset(event: PasswordResetRequested, codes: MailedCodes, domain: str) -> PlannedMail:
    text = _RESET.format(
        at=_minute(event.requested_at),
        until=_minute(event.code_expires_at),
        code=codes.password_reset(event.challenge_id),
    )
    return PlannedMail(
        message_id=_message_id("password-reset", event.challenge_id, domain),
        kind="password-reset",
        expires_at=event.code_expires_at,
        recipient=event.email,
        subject="Your Chancery code for a new password",
        text=text,
    )


def _email_change(event: EmailChangeRequested, codes: MailedCodes, domain: str) -> PlannedMail:
    text = _NEW_EMAIL.format(
        at=_minute(event.requested_at),
        until=_minute(event.code_expires_at),
        code=codes.email_change(event.change_id),
    )
    return PlannedMail(
        message_id=_message_id("email-change", event.change_id, domain),
        kind="email-change",
        expires_at=event.code_expires_at,
        recipient=event.email,
        subject="Your Chancery code for a new address",
        text=text,
    )


def _email_changed(fact: RecordedFact, event: EmailChanged, codes: MailedCodes, domain: str) -> PlannedMail:
    """To the address that was left: the way back, as long as there is one."""
    text = _EMAIL_CHANGED.format(
        at=_minute(fact.at),
        until=_minute(event.undo_until),
        code=codes.undo(fact.stream.removeprefix("account-"), event.change_id),
    )
    return PlannedMail(
        message_id=_message_id("email-changed", event.change_id, domain),
        kind="email-changed",
        expires_at=event.undo_until,
        recipient=event.previous_email,
        subject="The address of your Chancery account was changed",
        text=text,
    )


def _message_id(purpose: str, identity: str, domain: str) -> str:
    """Follows from what the mail is about, so that a mail sent twice can be recognised as one."""
    digest = hashlib.sha256(f"chancery/mail/v1\x00{purpose}\x00{identity}".encode()).digest()
    return f"<{base32(digest[:20])}@{domain}>"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
