"""Refusals: the rule that forbids a command. Each docstring is the sentence that a person reads.

`code` is a stable slug. Several codes may share one public answer; `command_api.answers` says which.
"""

from typing import ClassVar


class Refusal(Exception):  # noqa: N818  # a refusal is an outcome of the domain, not an error
    """The command is not allowed."""

    code: ClassVar[str]

    @property
    def sentence(self) -> str:
        return (type(self).__doc__ or "").strip().replace("\n", " ")


class EmailTaken(Refusal):
    """This e-mail address already belongs to an account."""

    code = "email-taken"


class InvalidEmail(Refusal):
    """This is not an e-mail address that mail can be sent to."""

    code = "invalid-email"


class PasswordTooShort(Refusal):
    """The password has fewer than 15 characters; beside a second factor, 8 are enough."""

    code = "password-too-short"


class PasswordTooLong(Refusal):
    """The password has more than 256 characters."""

    code = "password-too-long"


class PasswordTooCommon(Refusal):
    """The password is one of those that are guessed first."""

    code = "password-too-common"


class InvalidDisplayName(Refusal):
    """The display name is empty, longer than 100 characters, or has control characters."""

    code = "invalid-display-name"


class InvalidCode(Refusal):
    """The code is wrong, used or expired. Ask for a new one."""

    code = "invalid-code"


class InvalidCredentials(Refusal):
    """The e-mail address or the password is wrong."""

    code = "invalid-credentials"


class WrongPassword(Refusal):
    """The current password is wrong."""

    code = "wrong-password"


class SessionEnded(Refusal):
    """The session has ended. Sign in again."""

    code = "session-ended"


class UnknownSession(Refusal):
    """There is no such session."""

    code = "session-not-found"


class InvalidGrant(Refusal):
    """The refresh token is unknown, used, expired or revoked."""

    code = "invalid-grant"


class StepUpNeeded(Refusal):
    """This session needs a new sign-in: something about it looked wrong."""

    code = "step-up-needed"


class InvalidClient(Refusal):
    """The client is unknown or its secret is wrong."""

    code = "invalid-client"


class InvalidScope(Refusal):
    """The client may not ask for this scope."""

    code = "invalid-scope"


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key came with another request body before. Use a new key for a new request."""

    code = "idempotency-key-reused"


class ClientExists(Refusal):
    """There is a client with this id already."""

    code = "client-exists"


class UnknownClient(Refusal):
    """There is no such client."""

    code = "client-not-found"


class InvalidClientName(Refusal):
    """The name is empty, longer than 100 characters, or has control characters."""

    code = "invalid-client-name"


class InvalidClientScopes(Refusal):
    """Scopes are visible ASCII without quotation mark and backslash, at least one, together up to 1000 characters."""

    code = "invalid-client-scopes"


class InvalidClientAudiences(Refusal):
    """Audiences are visible ASCII, together up to 1000 characters."""

    code = "invalid-client-audiences"


class UnknownAccount(Refusal):
    """There is no such account."""

    code = "account-not-found"


class AccountIsClosed(Refusal):
    """Its owner closed this account, which nobody can take back."""

    code = "account-closed"


class RecentSignInNeeded(Refusal):
    """This needs a session that began a moment ago, with the second factor if there is one. Sign in again."""

    code = "recent-sign-in-needed"


class TotpEnrolledAlready(Refusal):
    """An authenticator app is enrolled already. Remove it first."""

    code = "totp-enrolled"


class FactorMissing(Refusal):
    """Recovery codes stand in for a second factor, and none is enrolled."""

    code = "factor-missing"


class FactorNeeded(Refusal):
    """The password has fewer than 15 characters, which needs this second factor. Change the password first."""

    code = "factor-needed"


class InvalidPasskey(Refusal):
    """The passkey's answer is not right for what was asked."""

    code = "invalid-passkey"


class WrongPasskey(Refusal):
    """This passkey opens no account, or what it answered to is over. Ask for new options."""

    code = "wrong-passkey"


class PasskeyKnown(Refusal):
    """This passkey is registered already."""

    code = "passkey-known"


class TooManyPasskeys(Refusal):
    """The account has as many passkeys as it can have. Remove one first."""

    code = "too-many-passkeys"


class UnknownPasskey(Refusal):
    """There is no such passkey."""

    code = "passkey-not-found"


class InvalidFactor(Refusal):
    """The code is wrong, used or expired, or this sign-in has ended. Try another code, or sign in again."""

    code = "invalid-factor"
