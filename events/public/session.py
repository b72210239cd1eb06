"""Public events about sign-ins and sessions."""

from typing import Annotated

from msgspec import Meta

from events.public.event import (
    AccountId,
    ClientId,
    ExpiresAt,
    IdleExpiresAt,
    PublicEvent,
    SessionId,
    known_values,
    public_event,
)

Scope = Annotated[
    str,
    Meta(description="Scopes of its access tokens, separated by spaces.", examples=["openid profile email"]),
]
Methods = Annotated[
    tuple[str, ...],
    Meta(description="How the person proved who they are (RFC 8176).", examples=[["pwd"], ["pwd", "otp"]]),
]
AssuranceLevel = Annotated[str, known_values("How strong that proof was.", "aal1", "aal2")]
FailureCause = Annotated[
    str,
    known_values(
        "Why the sign-in was refused. No client is told.",
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
    ),
]
RevocationCauseName = Annotated[
    str,
    known_values(
        "Why the session ended.",
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
    ),
]

Source = Annotated[
    str,
    Meta(
        description="Names the network that it came from, with another name every day; empty if unknown.",
        examples=["k7x2mzq5v4r6t3yw"],
    ),
]
Unfamiliar = Annotated[
    tuple[str, ...],
    Meta(
        description="What it came from that no earlier sign-in of the account did: `network`, `device`, others one day.",
        examples=[["device"], ["network", "device"]],
    ),
]
RiskReason = Annotated[
    str,
    known_values(
        "What made it look wrong.",
        "sign-in-failures",
        "guessing-source",
        "unfamiliar-sign-in",
        "unfamiliar-burst",
        "refresh-reuse-burst",
    ),
]


@public_event("sign_in.failed", about="account_id")
class SignInFailed(PublicEvent):
    """A sign-in to this account was refused. One that names an unknown address is not published."""

    account_id: AccountId
    cause: FailureCause
    source: Source = ""


@public_event("password.rejected", about="account_id")
class PasswordRejected(PublicEvent):
    """A signed-in caller gave a wrong current password."""

    account_id: AccountId
    session_id: SessionId


@public_event("session.started", about="account_id")
class SessionStarted(PublicEvent):
    """Somebody signed in."""

    account_id: AccountId
    session_id: SessionId
    client_id: ClientId
    scope: Scope
    amr: Methods
    acr: AssuranceLevel
    idle_expires_at: IdleExpiresAt
    expires_at: ExpiresAt
    source: Source = ""
    unfamiliar: Unfamiliar = ()


@public_event("session.refreshed", about="account_id")
class SessionRefreshed(PublicEvent):
    """The session got new tokens, and more time."""

    account_id: AccountId
    session_id: SessionId
    idle_expires_at: IdleExpiresAt


@public_event("session.refresh_reused", about="account_id")
class RefreshReused(PublicEvent):
    """A refresh token was used twice: one of the two is a thief. The session is revoked in the same commit."""

    account_id: AccountId
    session_id: SessionId


@public_event("session.revoked", about="account_id")
class SessionRevoked(PublicEvent):
    """The session ended before its time. Its access tokens are refused from now on."""

    account_id: AccountId
    session_id: SessionId
    cause: RevocationCauseName


@public_event("session.flagged", about="account_id")
class SessionFlagged(PublicEvent):
    """Chancery counted something that makes this session suspect. It goes on, if it has not ended."""

    account_id: AccountId
    session_id: SessionId
    reason: RiskReason


@public_event("session.step_up_required", about="account_id")
class StepUpRequired(PublicEvent):
    """The session gets no new tokens; the person has to prove again who they are."""

    account_id: AccountId
    session_id: SessionId
    reason: RiskReason
