"""Facts about one person's account: registration, password, sign-in, sessions, profile."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact, personal

SignUpPolicy = Literal["verify", "open"]
SignInFailureCause = Literal["wrong-password", "not-verified", "locked"]
RevocationCause = Literal[
    "sign-out", "sign-out-others", "token-revoked", "refresh-reused", "password-changed", "too-many-sessions"
]
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
    cause: SignInFailureCause
    failed_at: datetime
    ip: str | None = personal(default=None)
    user_agent: str | None = personal(default=None)


@fact("account.locked")
class AccountLocked(Event):
    locked_until: datetime


@fact("session.started")
class SessionStarted(Event):
    session_id: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    acr: str
    started_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    ip: str | None = personal(default=None)
    user_agent: str | None = personal(default=None)


@fact("session.refreshed")
class SessionRefreshed(Event):
    session_id: str
    generation: int
    refreshed_at: datetime
    idle_expires_at: datetime


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
    password_hash: str | None = personal(default=None)


@fact("password.rejected")
class PasswordRejected(Event):
    """A signed-in caller gave a wrong current password; it counts towards the lock-out."""

    session_id: str
    failed_at: datetime


@fact("profile.changed")
class ProfileChanged(Event):
    display_name: str | None = personal(default=None)
