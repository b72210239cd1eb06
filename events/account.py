"""Facts about one person's account: registration, password, sign-in, sessions, profile, its end."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact, personal

SignUpPolicy = Literal["verify", "open"]
SignInFailureCause = Literal[
    "wrong-password",
    "not-verified",
    "locked",
    "not-the-address",
    "account-disabled",
    "account-closed",
    "challenge-ended",
    "wrong-totp",
    "wrong-recovery-code",
    "wrong-passkey",
]
RevocationCause = Literal[
    "sign-out",
    "sign-out-others",
    "token-revoked",
    "refresh-reused",
    "password-changed",
    "too-many-sessions",
    "password-reset",
    "email-changed",
    "email-change-undone",
    "account-closed",
    "account-disabled",
    "signed-out-by-admin",
    "factors-changed",
]
Unfamiliar = Literal["network", "device"]
"""What a sign-in comes from that no earlier one of the account did."""
ResetRefusalCause = Literal["not-the-address", "not-active", "too-many-mails"]
DiscardCause = Literal["superseded", "other-verified"]


@fact("account.registered")
class AccountRegistered(Event):
    account_id: str
    identifier: str
    policy: SignUpPolicy
    challenge_id: str
    code_expires_at: datetime
    registered_at: datetime
    email: str | None = personal(default=None)
    display_name: str | None = personal(default=None)
    password_hash: str | None = personal(default=None)


@fact("account.verification_requested")
class VerificationRequested(Event):
    challenge_id: str
    code_expires_at: datetime
    registered_at: datetime
    email: str | None = personal(default=None)


@fact("account.email_verified")
class EmailVerified(Event):
    challenge_id: str


@fact("account.registration_discarded")
class RegistrationDiscarded(Event):
    cause: DiscardCause


@fact("account.sign_up_repeated")
class SignUpRepeated(Event):
    """Somebody signed up with an address that this account owns: its owner is told by mail."""

    notice_id: str
    email: str | None = personal(default=None)


@fact("sign_in.failed")
class SignInFailed(Event):
    """`source` stands for the network that it came from, on that day: see `command_api.sources`."""

    cause: SignInFailureCause
    failed_at: datetime
    source: str | None = None
    ip: str | None = personal(default=None)
    user_agent: str | None = personal(default=None)


@fact("account.locked")
class AccountLocked(Event):
    locked_until: datetime


@fact("session.started")
class SessionStarted(Event):
    """`source` as above."""

    session_id: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    acr: str
    started_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    source: str | None = None
    unfamiliar: tuple[Unfamiliar, ...] = ()
    ip: str | None = personal(default=None)
    user_agent: str | None = personal(default=None)


@fact("session.refreshed")
class SessionRefreshed(Event):
    session_id: str
    generation: int
    refreshed_at: datetime
    idle_expires_at: datetime


@fact("session.strengthened")
class SessionStrengthened(Event):
    """The person proved more within the session: from now on its tokens say so (RFC 8176, RFC 9068)."""

    session_id: str
    amr: tuple[str, ...]
    acr: str


@fact("session.refresh_reused")
class RefreshReused(Event):
    session_id: str
    generation: int


@fact("session.revoked")
class SessionRevoked(Event):
    session_id: str
    cause: RevocationCause


@fact("password.changed")
class PasswordChanged(Event):
    """`is_short` is whether it has fewer characters than are wanted of a password without a second factor."""

    is_short: bool = False
    password_hash: str | None = personal(default=None)


@fact("password.rejected")
class PasswordRejected(Event):
    """A signed-in caller gave a wrong current password; it counts towards the lock-out."""

    session_id: str
    failed_at: datetime


@fact("profile.changed")
class ProfileChanged(Event):
    display_name: str | None = personal(default=None)


@fact("password_reset.requested")
class PasswordResetRequested(Event):
    """A code for a new password goes to the account's address; an earlier one is dead."""

    challenge_id: str
    code_expires_at: datetime
    requested_at: datetime
    email: str | None = personal(default=None)


@fact("password_reset.ignored")
class PasswordResetIgnored(Event):
    """A reset was asked for, and no mail goes out. Recorded so that every answer costs the same."""

    cause: ResetRefusalCause


@fact("password_reset.code_rejected")
class ResetCodeRejected(Event):
    """A wrong, used or expired code for a new password; it counts until the waiting code is dead."""


@fact("password.reset")
class PasswordReset(Event):
    """A new password by a mailed code. The lock-out ends, and every other challenge is dead. `is_short` as above."""

    challenge_id: str
    is_short: bool = False
    password_hash: str | None = personal(default=None)


@fact("account.disabled")
class AccountDisabled(Event):
    disabled_at: datetime


@fact("account.enabled")
class AccountEnabled(Event):
    enabled_at: datetime


@fact("account.unlocked")
class AccountUnlocked(Event):
    unlocked_at: datetime


@fact("account.closed")
class AccountClosed(Event):
    """Nothing opens it any more. Its addresses stay held until it is erased, at `erase_after` or later."""

    closed_at: datetime
    erase_after: datetime


@fact("mail.bounced")
class MailBounced(Event):
    """The mail server of the account's address refused a mail for good. Nothing here tells the address."""

    message_id: str
    kind: str
    bounced_at: datetime
