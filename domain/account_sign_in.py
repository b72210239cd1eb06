"""How an account is opened: by its password, by the second factor that is then asked for, or by a passkey alone.

Laws: where a second factor is enrolled, a password opens nothing; a passkey that verified its user is both
factors (NIST SP 800-63B-4 section 2.2). A lock-out holds for what can be guessed, not for passkeys.
"""

from datetime import datetime
from typing import assert_never

from domain import factors
from domain.account_access import lock
from domain.account_commands import SignIn
from domain.account_state import Absent, Account, Active, Closed, Disabled, Pending, is_locked
from domain.addresses import has_address
from domain.factor_commands import (
    AnswerChallenge,
    PasskeyAnswer,
    RecoveryAnswer,
    SignInWithPasskey,
    TotpAnswer,
)
from domain.factors import GUESSED_CODES, Passkey, find_challenge, find_passkey, has_grown, is_spent
from domain.risk import unfamiliar
from domain.session import is_live
from events.account import (
    SessionRevoked,
    SessionStarted,
    SignInFailed,
    SignInFailureCause,
)
from events.fact import Event
from events.factors import (
    FactorsLocked,
    PasskeyAccepted,
    RecoveryCodeAccepted,
    SignInChallenged,
    TotpAccepted,
)

MAX_SESSIONS = 100
"""Live sessions of one account. One more ends the oldest, so that no account grows without bound."""
_ATTEMPT = SignIn | AnswerChallenge | SignInWithPasskey


def sign_in(state: Account, command: SignIn) -> tuple[Event, ...]:
    if not isinstance(state, Active):
        return (_failed(command, _obstacle(state)),)
    if not has_address(state.addresses, command.identifier):
        return (_failed(command, "not-the-address"),)
    if is_locked(state, command.at):
        return (_failed(command, "locked"),)
    if not command.is_password_right:
        return (_failed(command, "wrong-password"), *lock(state, command.lock_out, command.at))
    if state.factors.is_enrolled:
        challenged = SignInChallenged(
            challenge_id=command.challenge_id,
            challenged_at=command.at,
            expires_at=command.at + command.challenge_lifetime,
            ip=command.origin.ip,
            user_agent=command.origin.user_agent,
        )
        return (challenged,)
    return _start(state, command, amr=("pwd",), acr="aal1")


def answer_challenge(state: Account, command: AnswerChallenge) -> tuple[Event, ...]:
    if not isinstance(state, Active):
        return (_failed(command, _obstacle(state)),)
    challenge = find_challenge(state.factors, command.challenge_id, command.at)
    if challenge is None:
        return (_failed(command, "challenge-ended"),)
    answer = command.answer
    locked = is_locked(state, command.at) or factors.is_locked(state.factors, command.at)
    if locked and not isinstance(answer, PasskeyAnswer):
        return (_failed(command, "locked"),)
    proof: tuple[str, ...] = ("otp",)
    match answer:
        case TotpAnswer(matching_step=step):
            totp = state.factors.totp
            if totp is None or step is None or step <= totp.last_step:
                return _wrong(state, command, "wrong-totp")
            accepted: Event = TotpAccepted(challenge_id=command.challenge_id, step=step)
        case RecoveryAnswer(matching_number=number):
            codes = state.factors.recovery_codes
            if codes is None or codes.set_id != answer.set_id or number not in codes.left:
                return _wrong(state, command, "wrong-recovery-code")
            assert number is not None
            accepted = RecoveryCodeAccepted(
                challenge_id=command.challenge_id, number=number, email=state.email
            )
        case PasskeyAnswer():
            passkey = _proven(state, answer)
            if passkey is None:
                return _wrong(state, command, "wrong-passkey")
            accepted = _accepted(answer, challenge.challenge_id, challenge.expires_at, command)
            proof = passkey_method(is_synced=passkey.is_synced)
        case _:
            assert_never(answer)
    return (accepted, *_start(state, command, amr=("pwd", *proof, "mfa"), acr="aal2"))


def sign_in_with_passkey(state: Account, command: SignInWithPasskey) -> tuple[Event, ...]:
    """The challenge was not seen here before; that it was is remembered as long as it is fresh."""
    if not isinstance(state, Active):
        return (_failed(command, _obstacle(state)),)
    if is_spent(state.factors, command.challenge_id, command.challenge_expires_at, command.at):
        return (_failed(command, "challenge-ended"),)
    passkey = _proven(state, command.answer)
    if passkey is None:
        return (_failed(command, "wrong-passkey"),)
    accepted = _accepted(command.answer, command.challenge_id, command.challenge_expires_at, command)
    amr = (*passkey_method(is_synced=passkey.is_synced), "mfa")
    return (accepted, *_start(state, command, amr=amr, acr="aal2"))


def passkey_method(*, is_synced: bool) -> tuple[str, ...]:
    """What a passkey is in `amr` (RFC 8176): on one device `hwk`, a synced one `swk`."""
    return ("swk" if is_synced else "hwk", "user")


def _proven(state: Active, answer: PasskeyAnswer) -> Passkey | None:
    """The passkey, if it is the account's still, and no copy of an authenticator that went on counting."""
    verified = answer.verified
    passkey = None if verified is None else find_passkey(state.factors, verified.passkey_id)
    if verified is None or passkey is None or not has_grown(passkey, verified.sign_count):
        return None
    return passkey


def _accepted(
    answer: PasskeyAnswer, challenge_id: str, expires_at: datetime, command: _ATTEMPT
) -> PasskeyAccepted:
    assert answer.verified is not None
    return PasskeyAccepted(
        passkey_id=answer.verified.passkey_id,
        challenge_id=challenge_id,
        challenge_expires_at=expires_at,
        accepted_at=command.at,
        sign_count=answer.verified.sign_count,
    )


def _wrong(state: Active, command: AnswerChallenge, cause: SignInFailureCause) -> tuple[Event, ...]:
    """A failure, and the lock of codes that it brings if it was one wrong code too many."""
    failed, lock_out = _failed(command, cause), command.lock_out
    if cause not in GUESSED_CODES or state.factors.failures + 1 < lock_out.failures:
        return (failed,)
    return (failed, FactorsLocked(locked_until=command.at + lock_out.duration))


def _obstacle(state: Absent | Pending | Disabled | Closed) -> SignInFailureCause:
    match state:
        case Absent() | Pending():
            return "not-verified"
        case Disabled():
            return "account-disabled"
        case Closed():
            return "account-closed"
        case _:
            assert_never(state)


def _failed(command: _ATTEMPT, cause: SignInFailureCause) -> SignInFailed:
    origin = command.origin
    return SignInFailed(
        cause=cause,
        failed_at=command.at,
        source=origin.source,
        ip=origin.ip,
        user_agent=origin.user_agent,
    )


def _start(state: Active, command: _ATTEMPT, *, amr: tuple[str, ...], acr: str) -> tuple[Event, ...]:
    """The new session, and the end of the oldest one if it is one too many."""
    session, origin = command.session, command.origin
    live = [session for session in state.sessions.values() if is_live(session, command.at)]
    live.sort(key=lambda session: (session.started_at, session.session_id))
    excess = max(0, len(live) + 1 - MAX_SESSIONS)
    ended = (SessionRevoked(session_id=s.session_id, cause="too-many-sessions") for s in live[:excess])
    started = SessionStarted(
        session_id=session.session_id,
        client_id=session.client_id,
        scope=session.scope,
        amr=amr,
        acr=acr,
        started_at=command.at,
        idle_expires_at=command.at + session.idle,
        expires_at=command.at + session.absolute,
        source=origin.source,
        unfamiliar=unfamiliar(state.risk, origin.ip, origin.user_agent),
        ip=origin.ip,
        user_agent=origin.user_agent,
    )
    return (*ended, started)
