"""Which facts are told by mail, to whom, and with which values. The words are in `mail_templates/`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from events.account import AccountRegistered, PasswordResetRequested, SignUpRepeated, VerificationRequested
from events.email_change import EmailChanged, EmailChangeRequested
from events.fact import Event
from events.factors import (
    PasskeyRegistered,
    PasskeyRemoved,
    RecoveryCodeAccepted,
    RecoveryCodesIssued,
    TotpEnrolled,
    TotpRemoved,
)
from events.risk import OwnerNoticeRequested
from events.streams import base32, id_of
from eventstore.facts import RecordedFact
from projectors.mail_text import MailKind, Wording, render_mail
from runtime.codes import MailedCodes

_FACTOR_REASONS: Mapping[type[Event], str] = {
    TotpEnrolled: "totp-enrolled",
    TotpRemoved: "totp-removed",
    PasskeyRegistered: "passkey-registered",
    PasskeyRemoved: "passkey-removed",
    RecoveryCodesIssued: "recovery-codes-issued",
    RecoveryCodeAccepted: "recovery-code-used",
}
"""By fact: what the owner is told of how the account is opened now."""
HANDLES = frozenset(
    {
        AccountRegistered,
        VerificationRequested,
        SignUpRepeated,
        PasswordResetRequested,
        EmailChangeRequested,
        EmailChanged,
        OwnerNoticeRequested,
        *_FACTOR_REASONS,
    }
)
NOTICE_LIFETIME = timedelta(hours=1)
"""Later, nobody remembers having signed up, and the notice would only worry."""
SUSPICION_LIFETIME = timedelta(days=2)
"""Worth a late mail, as long as somebody may still be kept out."""

Allowance = Literal["strangers", "owner", "unbounded"]
"""Out of which allowance of its mailbox a mail goes. Anybody can cause the mails of the first by typing an address;
those of the second tell an owner of what happens to the account, and the first must not be able to use them up. The way back from a changed address is never held back."""
_ALLOWANCES: dict[MailKind, Allowance] = {
    "verification": "strangers",
    "verification-again": "strangers",
    "sign-up-repeated": "strangers",
    "email-change": "strangers",
    "password-reset": "owner",
    "email-changed": "unbounded",
    "suspicion": "owner",
    "factors-changed": "owner",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMail:
    """`recipient` is None once the account was erased; after `expires_at` the mail helps nobody."""

    message_id: str
    account_id: str
    kind: MailKind
    expires_at: datetime
    recipient: str | None = field(repr=False)
    wording: Wording

    @property
    def allowance(self) -> Allowance:
        return _ALLOWANCES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """What a fact has to say: about what (purpose and id), since when, until when, and perhaps a code or a reason."""

    kind: MailKind
    about: tuple[str, str]
    recipient: str | None = field(repr=False)
    at: datetime
    until: datetime
    code: str = field(default="", repr=False)
    reason: str = ""


def plan_mail(fact: RecordedFact, codes: MailedCodes, domain: str) -> PlannedMail | None:
    """The mail that tells of this fact; the same for ever, message id included."""
    account_id = id_of(fact.stream)
    letter = _letter(fact, account_id, codes)
    if letter is None:
        return None
    values = {
        "at": _minute(letter.at),
        "until": _minute(letter.until),
        "code": letter.code,
        "reason": letter.reason,
    }
    return PlannedMail(
        message_id=_message_id(*letter.about, domain),
        account_id=account_id,
        kind=letter.kind,
        expires_at=letter.until,
        recipient=letter.recipient,
        wording=render_mail(letter.kind, **values),
    )


def _letter(fact: RecordedFact, account_id: str, codes: MailedCodes) -> _Letter | None:
    match fact.event:
        case AccountRegistered() as event:
            return _verification(event, codes, "verification")
        case VerificationRequested() as event:
            return _verification(event, codes, "verification-again")
        case PasswordResetRequested() as event:
            return _Letter(
                kind="password-reset",
                about=("password-reset", event.challenge_id),
                recipient=event.email,
                at=event.requested_at,
                until=event.code_expires_at,
                code=codes.password_reset(event.challenge_id),
            )
        case EmailChangeRequested() as event:
            return _Letter(
                kind="email-change",
                about=("email-change", event.change_id),
                recipient=event.email,
                at=event.requested_at,
                until=event.code_expires_at,
                code=codes.email_change(event.change_id),
            )
        case EmailChanged() as event:  # to the address that was left: the way back, as long as there is one
            return _Letter(
                kind="email-changed",
                about=("email-changed", event.change_id),
                recipient=event.previous_email,
                at=fact.at,
                until=event.undo_until,
                code=codes.undo(account_id, event.change_id),
            )
        case SignUpRepeated() as event:
            return _Letter(
                kind="sign-up-repeated",
                about=("notice", event.notice_id),
                recipient=event.email,
                at=fact.at,
                until=fact.at + NOTICE_LIFETIME,
            )
        case OwnerNoticeRequested() as event:
            return _suspicion(fact, event)
        case _:
            return _factors_changed(fact)


def _verification(
    event: AccountRegistered | VerificationRequested, codes: MailedCodes, kind: MailKind
) -> _Letter:
    return _Letter(
        kind=kind,
        about=("challenge", event.challenge_id),
        recipient=event.email,
        at=event.registered_at,
        until=event.code_expires_at,
        code=codes.verification(event.challenge_id),
    )


def _suspicion(fact: RecordedFact, event: OwnerNoticeRequested) -> _Letter:
    return _Letter(
        kind="suspicion",
        about=("owner-notice", event.notice_id),
        recipient=event.email,
        at=event.requested_at,
        until=fact.at + SUSPICION_LIFETIME,
        reason=event.reason,
    )


def _factors_changed(fact: RecordedFact) -> _Letter | None:
    event = fact.event
    if isinstance(event, RecoveryCodesIssued):
        if event.email is None:  # they came with a factor, or everything of the account was erased
            return None
    elif not isinstance(
        event, TotpEnrolled | TotpRemoved | PasskeyRegistered | PasskeyRemoved | RecoveryCodeAccepted
    ):
        return None
    return _Letter(
        kind="factors-changed",
        about=("factors-changed", f"{fact.position}#{fact.number}"),
        recipient=event.email,
        at=fact.at,
        until=fact.at + SUSPICION_LIFETIME,
        reason=_FACTOR_REASONS[type(event)],
    )


def _message_id(purpose: str, identity: str, domain: str) -> str:
    """Follows from what the mail is about, so that a mail sent twice can be recognised as one."""
    digest = hashlib.sha256(f"chancery/mail/v1\x00{purpose}\x00{identity}".encode()).digest()
    return f"<{base32(digest[:20])}@{domain}>"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
