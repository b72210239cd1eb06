"""Examples of second factors: facts, commands and answers for scenarios, to be varied with `dataclasses.replace`."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.account import AGGREGATE
from domain.account_commands import ChangePassword
from domain.factor_commands import (
    Answer,
    AnswerChallenge,
    ConfirmTotp,
    IssueRecoveryCodes,
    PasskeyAnswer,
    PreparePasskey,
    RecoveryAnswer,
    RegisterPasskey,
    RemovePasskey,
    RemoveTotp,
    SignInWithPasskey,
    StartTotp,
    TotpAnswer,
    VerifiedPasskey,
)
from events.account import (
    SessionRevoked,
    SessionStarted,
    SessionStrengthened,
    SignInFailed,
    SignInFailureCause,
)
from events.fact import Event
from events.factors import (
    PasskeyRegistered,
    RecoveryCodesIssued,
    SignInChallenged,
    TotpEnrolled,
    TotpEnrolmentStarted,
)
from tests.support.examples import (
    LOCK_OUT,
    MINUTE,
    NOON,
    ORIGIN,
    REGISTERED,
    VERIFIED,
    sign_in,
    started,
)
from tests.support.scenario import Given, Outcome, given

RECENT = 15 * MINUTE
EXPIRY = NOON + 5 * MINUTE
BASE = (REGISTERED, VERIFIED, started("s1"))
TOTP_STARTED = TotpEnrolmentStarted(
    enrolment_id="e1", session_id="s1", expires_at=NOON + 15 * MINUTE, secret="SECRET"
)
TOTP = TotpEnrolled(enrolment_id="e1", claim_id="acc", step=100, enrolled_at=NOON, email="Ada@example.com")
CODES = RecoveryCodesIssued(set_id="r1", count=10, issued_at=NOON)
STRONG = SessionStrengthened(session_id="s1", amr=("pwd", "otp", "mfa"), acr="aal2")
STRONG_BY_PASSKEY = SessionStrengthened(session_id="s1", amr=("pwd", "swk", "user", "mfa"), acr="aal2")
ENROLLED = (*BASE, TOTP_STARTED, TOTP, CODES, STRONG)
PASSKEY = PasskeyRegistered(
    passkey_id="p1",
    claim_id="acc",
    challenge_id="k1",
    challenge_expires_at=EXPIRY,
    is_synced=True,
    sign_count=7,
    registered_at=NOON,
    credential_id="credential-1",
    public_key="key-1",
    email="Ada@example.com",
)
WITH_PASSKEY = (*BASE, PASSKEY, STRONG_BY_PASSKEY)
CHALLENGED = SignInChallenged(
    challenge_id="challenge-of-s2",
    challenged_at=NOON,
    expires_at=EXPIRY,
    ip="127.0.0.1",
    user_agent="test",
)
START = StartTotp(
    acting_session_id="s1",
    enrolment_id="e1",
    secret="SECRET",
    expires_at=NOON + 15 * MINUTE,
    recent=RECENT,
    at=NOON,
)
CONFIRM = ConfirmTotp(
    acting_session_id="s1", enrolment_id="e1", matching_step=100, set_id="r1", recent=RECENT, at=NOON
)
REMOVE = RemoveTotp(acting_session_id="s1", is_password_right=True, lock_out=LOCK_OUT, at=NOON)
ISSUE = IssueRecoveryCodes(
    acting_session_id="s1", is_password_right=True, set_id="r2", lock_out=LOCK_OUT, at=NOON
)
PREPARE_PASSKEY = PreparePasskey(acting_session_id="s1", recent=RECENT, at=NOON)
REGISTER_PASSKEY = RegisterPasskey(
    acting_session_id="s1",
    passkey_id="p1",
    challenge_id="k1",
    challenge_expires_at=EXPIRY,
    credential_id="credential-1",
    public_key="key-1",
    is_synced=True,
    sign_count=7,
    recent=RECENT,
    at=NOON,
)
REMOVE_PASSKEY = RemovePasskey(acting_session_id="s1", passkey_id="p1", recent=RECENT, at=NOON)
RIGHT: dict[str, Answer] = {
    "totp": TotpAnswer(matching_step=101),
    "recovery": RecoveryAnswer(set_id="r1", matching_number=3),
    "passkey": PasskeyAnswer(verified=VerifiedPasskey(passkey_id="p1", sign_count=8)),
}
WITH_ALL = (*ENROLLED, replace(PASSKEY, challenge_id="k0"))


CHANGE = ChangePassword(
    acting_session_id="s1",
    is_password_right=True,
    password_hash="hash-2",
    is_short=True,
    lock_out=LOCK_OUT,
    at=NOON,
)


def account(*events: Event) -> Given:
    return given(AGGREGATE, *events)


def answering(answer: Answer, at: datetime = NOON, challenge_id: str = "challenge-of-s2") -> AnswerChallenge:
    return AnswerChallenge(
        challenge_id=challenge_id,
        answer=answer,
        session=sign_in("s2").session,
        origin=ORIGIN,
        lock_out=LOCK_OUT,
        at=at,
    )


def with_passkey(
    verified: VerifiedPasskey | None, at: datetime = NOON, challenge_id: str = "k2"
) -> SignInWithPasskey:
    return SignInWithPasskey(
        challenge_id=challenge_id,
        challenge_expires_at=EXPIRY,
        answer=PasskeyAnswer(verified=verified),
        session=sign_in("s2").session,
        origin=ORIGIN,
        at=at,
    )


def session(amr: tuple[str, ...], acr: str = "aal2", at: datetime = NOON) -> SessionStarted:
    return replace(started("s2", at), amr=amr, acr=acr)


def failed(cause: SignInFailureCause, at: datetime = NOON) -> SignInFailed:
    return SignInFailed(cause=cause, failed_at=at, ip="127.0.0.1", user_agent="test")


def ended(session_id: str) -> SessionRevoked:
    return SessionRevoked(session_id=session_id, cause="factors-changed")


def after(outcome: Outcome) -> Any:
    """The state once the decision was taken."""
    state = outcome.state
    for event in AGGREGATE.decide(state, outcome.command):
        state = AGGREGATE.evolve(state, event)
    return state
