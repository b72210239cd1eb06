"""Which answer a refusal becomes. Several may share one, so that an attacker never learns which half was wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain import refusals as r
from domain.refusals import Refusal
from eventstore.commit import Position
from eventstore.errors import OutcomeUnknownError, OverloadedError, TryAgainError
from runtime.serving.answers import HttpAnswer, failure, oauth_error, problem

POSITION_HEADER = "Chancery-Position"
BEARER_CHALLENGE = {"www-authenticate": 'Bearer error="invalid_token"'}
STEP_UP_CHALLENGE = {"www-authenticate": 'Bearer error="insufficient_user_authentication"'}
"""RFC 9470 section 3."""
BASIC_CHALLENGE = {"www-authenticate": 'Basic realm="chancery"'}


@dataclass(frozen=True, slots=True)
class Row:
    """A problem's status, public code and, where one field is at fault, the pointer to it."""

    status: int
    code: str
    pointer: str = ""


TABLE: Mapping[type[Refusal], Row] = {
    r.EmailTaken: Row(409, "email-taken"),
    r.InvalidEmail: Row(422, "invalid-email", "/email"),
    r.PasswordTooShort: Row(422, "password-too-short", "/password"),
    r.PasswordTooLong: Row(422, "password-too-long", "/password"),
    r.PasswordTooCommon: Row(422, "password-too-common", "/password"),
    r.InvalidDisplayName: Row(422, "invalid-display-name", "/display_name"),
    r.InvalidCode: Row(400, "invalid-code"),
    r.InvalidCredentials: Row(401, "invalid-credentials"),
    r.WrongPassword: Row(403, "wrong-password"),
    r.SessionEnded: Row(401, "invalid-token"),
    r.UnknownSession: Row(404, "session-not-found"),
    r.InvalidGrant: Row(400, "invalid-grant"),
    r.StepUpNeeded: Row(400, "step-up-needed"),
    r.InvalidClient: Row(401, "invalid-client"),
    r.InvalidScope: Row(400, "invalid-scope"),
    r.IdempotencyKeyReused: Row(422, "idempotency-key-reused"),
    r.ClientExists: Row(409, "client-exists"),
    r.UnknownAccount: Row(404, "account-not-found"),
    r.AccountIsClosed: Row(409, "account-closed"),
    r.RecentSignInNeeded: Row(401, "recent-sign-in-needed"),
    r.TotpEnrolledAlready: Row(409, "totp-enrolled"),
    r.FactorMissing: Row(409, "factor-missing"),
    r.FactorNeeded: Row(409, "factor-needed"),
    r.InvalidFactor: Row(401, "invalid-code"),
    r.InvalidPasskey: Row(400, "invalid-passkey"),
    r.WrongPasskey: Row(401, "invalid-credentials"),
    r.PasskeyKnown: Row(409, "passkey-known"),
    r.TooManyPasskeys: Row(409, "too-many-passkeys"),
    r.UnknownPasskey: Row(404, "passkey-not-found"),
    r.UnknownClient: Row(404, "client-not-found"),
    r.InvalidClientName: Row(422, "invalid-client-name", "/name"),
    r.InvalidClientScopes: Row(422, "invalid-client-scopes", "/scopes"),
    r.InvalidClientAudiences: Row(422, "invalid-client-audiences", "/audiences"),
}

_POINTERS: Mapping[tuple[str, str], str] = {
    ("/v1/me/password", "/password"): "/new_password",
    ("/v1/password-resets/confirm", "/password"): "/new_password",
    ("/v1/me/email-changes", "/email"): "/new_email",
}
"""Where a path calls a field by another name."""

_BEARER_CHALLENGES: Mapping[type[Refusal], Mapping[str, str]] = {
    r.SessionEnded: BEARER_CHALLENGE,
    r.RecentSignInNeeded: STEP_UP_CHALLENGE,
}
_OAUTH_ERRORS: Mapping[type[Refusal], tuple[int, str]] = {
    r.InvalidGrant: (400, "invalid_grant"),
    r.StepUpNeeded: (400, "invalid_grant"),
    r.InvalidClient: (401, "invalid_client"),
    r.InvalidScope: (400, "invalid_scope"),
    r.IdempotencyKeyReused: (422, "invalid_request"),
}


def refusal_answer(refusal: Refusal, path: str) -> HttpAnswer:
    """The public form of a refusal, in the shape that belongs to the path."""
    if path.startswith("/oauth/"):
        status, error = _OAUTH_ERRORS[type(refusal)]
        basic = BASIC_CHALLENGE if isinstance(refusal, r.InvalidClient) else None
        return oauth_error(status, error, refusal.sentence, basic)
    row = TABLE[type(refusal)]
    pointer = _POINTERS.get((path, row.pointer), row.pointer)
    errors = [{"pointer": pointer, "detail": refusal.sentence}] if pointer else []
    challenge = _BEARER_CHALLENGES.get(type(refusal))
    return problem(row.status, row.code, refusal.sentence, errors=errors, headers=challenge)


def try_again_answer(error: TryAgainError, path: str) -> HttpAnswer:
    """503 with Retry-After. Only an unknown outcome needs the caller's care."""
    match error:
        case OutcomeUnknownError():
            title = "The outcome is unknown. Repeat the request with the same Idempotency-Key."
            return failure(path, 503, "outcome-unknown", title, {"retry-after": "1"})
        case OverloadedError():
            title = "Too many requests are waiting. Try again."
            return failure(path, 503, "overloaded", title, {"retry-after": "1"})
        case _:
            title = "The log cannot be reached. Nothing was changed. Try again."
            return failure(path, 503, "unavailable", title, {"retry-after": "1"})


def position_header(position: Position) -> dict[str, str]:
    return {POSITION_HEADER: str(position)}
