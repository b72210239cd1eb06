"""Which facts are told by mail, to whom, and in which words. A code stands alone on its line."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from events.account import AccountRegistered, SignUpRepeated, VerificationRequested
from events.streams import base32
from eventstore.facts import RecordedFact

HANDLES = frozenset({AccountRegistered, VerificationRequested, SignUpRepeated})
NOTICE_LIFETIME = timedelta(hours=1)
"""Later, nobody remembers having signed up, and the notice would only worry."""

CodeFor = Callable[[str], str]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMail:
    """`recipient` is None once the account was erased; after `expires_at` the mail helps nobody."""

    message_id: str
    kind: str
    expires_at: datetime
    recipient: str | None = field(repr=False)
    subject: str
    text: str = field(repr=False)


def plan_mail(fact: RecordedFact, code_for: CodeFor, domain: str) -> PlannedMail | None:
    """The mail that tells of this fact; the same for ever, message id included."""
    match fact.event:
        case AccountRegistered() as event:
            return _code_mail(event, _VERIFY, code_for, domain, kind="verification")
        case VerificationRequested() as event:
            return _code_mail(event, _VERIFY_AGAIN, code_for, domain, kind="verification-again")
        case SignUpRepeated() as event:
            return PlannedMail(
                message_id=_message_id("notice", event.notice_id, domain),
                kind="sign-up-repeated",
                expires_at=fact.at + NOTICE_LIFETIME,
                recipient=event.email,
                subject="You already have a Chancery account",
                text=_REPEATED.format(at=_minute(fact.at)),
            )
        case _:
            return None


def _code_mail(
    event: AccountRegistered | VerificationRequested,
    template: str,
    code_for: CodeFor,
    domain: str,
    *,
    kind: str,
) -> PlannedMail:
    text = template.format(
        at=_minute(event.registered_at),
        until=_minute(event.code_expires_at),
        code=code_for(event.challenge_id),
    )
    return PlannedMail(
        message_id=_message_id("challenge", event.challenge_id, domain),
        kind=kind,
        expires_at=event.code_expires_at,
        recipient=event.email,
        subject="Your Chancery code",
        text=text,
    )


def _message_id(purpose: str, identity: str, domain: str) -> str:
    """Follows from what the mail is about, so that a mail sent twice can be recognised as one."""
    digest = hashlib.sha256(f"chancery/mail/v1\x00{purpose}\x00{identity}".encode()).digest()
    return f"<{base32(digest[:20])}@{domain}>"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
