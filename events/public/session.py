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
    ),
]


@public_event("sign_in.failed", about="account_id")
class SignInFailed(PublicEvent):
    """A sign-in to this account was refused. One that names an unknown address is not published."""

    account_id: AccountId
    cause: FailureCause


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
