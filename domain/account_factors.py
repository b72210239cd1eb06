"""How second factors come to an account and leave it.

Laws: only somebody who signed in lately, or gives the password again, changes them, and with the strength that the
account asks for now; the first factor and every removal end the other sessions; a password that is short stays
beside a factor.
"""

from collections.abc import Container
from datetime import timedelta
from typing import Protocol, assert_never

from domain.account_access import WithinSession, end_sessions, reject_password, require_session
from domain.account_sign_in import answer_challenge, passkey_method, sign_in_with_passkey
from domain.account_state import Account, Active
from domain.factor_commands import (
    AnswerChallenge,
    ConfirmTotp,
    FactorCommand,
    IssueRecoveryCodes,
    PreparePasskey,
    RegisterPasskey,
    RemovePasskey,
    RemoveTotp,
    SignInWithPasskey,
    StartTotp,
)
from domain.factors import MAX_PASSKEYS, RECOVERY_CODES, find_passkey, is_spent
from domain.refusals import (
    FactorMissing,
    FactorNeeded,
    InvalidCode,
    InvalidPasskey,
    PasskeyKnown,
    RecentSignInNeeded,
    TooManyPasskeys,
    TotpEnrolledAlready,
    UnknownPasskey,
)
from events.account import SessionStrengthened
from events.fact import Event
from events.factors import (
    PasskeyRegistered,
    PasskeyRemoved,
    RecoveryCodesIssued,
    TotpEnrolled,
    TotpEnrolmentStarted,
    TotpRemoved,
)


class WithRecentSession(WithinSession, Protocol):
    """A command for which a session must have begun lately."""

    @property
    def recent(self) -> timedelta: ...


def decide_factors(state: Account, command: FactorCommand) -> tuple[Event, ...]:
    match command:
        case AnswerChallenge():
            return answer_challenge(state, command)
        case SignInWithPasskey():
            return sign_in_with_passkey(state, command)
        case StartTotp():
            return _start_totp(state, command)
        case ConfirmTotp():
            return _confirm_totp(state, command)
        case RemoveTotp():
            return _remove_totp(state, command)
        case IssueRecoveryCodes():
            return _issue_recovery_codes(state, command)
        case PreparePasskey():
            _require_room(require_recent_session(state, command))
            return ()
        case RegisterPasskey():
            return _register_passkey(state, command)
        case RemovePasskey():
            return _remove_passkey(state, command)
        case _:
            assert_never(command)


def require_recent_session(state: Account, command: WithRecentSession) -> Active:
    """The account, if the session began lately and is as strong as the account's sign-ins are now."""
    active = _require_strength(require_session(state, command), command)
    session = active.sessions[command.acting_session_id]
    if command.at - session.started_at > command.recent:
        raise RecentSignInNeeded
    return active


def remove_factors(active: Active, claims: Container[str], email: str | None) -> tuple[Event, ...]:
    """The end of those that were enrolled under these claims to an address; `email` is told."""
    totp, passkeys = active.factors.totp, active.factors.passkeys
    app = (TotpRemoved(email=email),) if totp is not None and totp.claim_id in claims else ()
    gone = (one for one in passkeys if one.claim_id in claims)
    return (*app, *(PasskeyRemoved(passkey_id=one.passkey_id, email=email) for one in gone))


def remove_unproven_factors(active: Active) -> tuple[Event, ...]:
    """When an address is proven for the first time, whoever enrolled factors before may have been somebody else."""
    if active.is_proven:
        return ()
    return remove_factors(active, {held.claim_id for held in active.addresses.held}, active.email)


def _require_strength(active: Active, command: WithinSession) -> Active:
    session = active.sessions[command.acting_session_id]
    if session.needs_step_up or (active.factors.is_enrolled and session.acr != "aal2"):
        raise RecentSignInNeeded
    return active


def _start_totp(state: Account, command: StartTotp) -> tuple[Event, ...]:
    active = require_recent_session(state, command)
    if active.factors.totp is not None:
        raise TotpEnrolledAlready
    started = TotpEnrolmentStarted(
        enrolment_id=command.enrolment_id,
        session_id=command.acting_session_id,
        expires_at=command.expires_at,
        secret=command.secret,
    )
    return (started,)


def _confirm_totp(state: Account, command: ConfirmTotp) -> tuple[Event, ...]:
    active = require_recent_session(state, command)
    waiting = active.factors.waiting_totp
    if waiting is None or waiting.enrolment_id != command.enrolment_id or command.at >= waiting.expires_at:
        raise InvalidCode
    if command.matching_step is None or waiting.session_id != command.acting_session_id:
        raise InvalidCode
    enrolled = TotpEnrolled(
        enrolment_id=waiting.enrolment_id,
        claim_id=active.addresses.current.claim_id,
        step=command.matching_step,
        enrolled_at=command.at,
        email=active.email,
    )
    codes = RecoveryCodesIssued(set_id=command.set_id, count=RECOVERY_CODES, issued_at=command.at)
    return (enrolled, codes, *_strengthened(active, command, ("otp",)))


def _remove_totp(state: Account, command: RemoveTotp) -> tuple[Event, ...]:
    active = _require_strength(require_session(state, command), command)
    rejected = reject_password(active, command)
    if rejected:
        return rejected
    if active.factors.totp is None:
        return ()
    _require_long_password(active, is_last=not active.factors.passkeys)
    removed = TotpRemoved(email=active.email)
    return (removed, *end_sessions(active, "factors-changed", spare=command.acting_session_id))


def _issue_recovery_codes(state: Account, command: IssueRecoveryCodes) -> tuple[Event, ...]:
    active = _require_strength(require_session(state, command), command)
    rejected = reject_password(active, command)
    if rejected:
        return rejected
    if not active.factors.is_enrolled:
        raise FactorMissing
    issued = RecoveryCodesIssued(
        set_id=command.set_id, count=RECOVERY_CODES, issued_at=command.at, email=active.email
    )
    return (issued,)


def _register_passkey(state: Account, command: RegisterPasskey) -> tuple[Event, ...]:
    active = require_recent_session(state, command)
    factors = active.factors
    if is_spent(factors, command.challenge_id, command.challenge_expires_at, command.at):
        raise InvalidPasskey
    if any(passkey.credential_id == command.credential_id for passkey in factors.passkeys):
        raise PasskeyKnown
    _require_room(active)
    registered = PasskeyRegistered(
        passkey_id=command.passkey_id,
        claim_id=active.addresses.current.claim_id,
        challenge_id=command.challenge_id,
        challenge_expires_at=command.challenge_expires_at,
        is_synced=command.is_synced,
        sign_count=command.sign_count,
        registered_at=command.at,
        credential_id=command.credential_id,
        public_key=command.public_key,
        email=active.email,
    )
    return (registered, *_strengthened(active, command, passkey_method(is_synced=command.is_synced)))


def _require_room(active: Active) -> None:
    if len(active.factors.passkeys) >= MAX_PASSKEYS:
        raise TooManyPasskeys


def _remove_passkey(state: Account, command: RemovePasskey) -> tuple[Event, ...]:
    active = require_recent_session(state, command)
    if find_passkey(active.factors, command.passkey_id) is None:
        raise UnknownPasskey
    is_last = active.factors.totp is None and len(active.factors.passkeys) == 1
    _require_long_password(active, is_last=is_last)
    removed = PasskeyRemoved(passkey_id=command.passkey_id, email=active.email)
    return (removed, *end_sessions(active, "factors-changed", spare=command.acting_session_id))


def _require_long_password(active: Active, *, is_last: bool) -> None:
    if is_last and active.password.is_short:
        raise FactorNeeded


def _strengthened(active: Active, command: WithinSession, proven: tuple[str, ...]) -> tuple[Event, ...]:
    """The acting session has proven the factor as well. Sessions from before the first factor end."""
    if active.factors.is_enrolled:
        return ()
    session = active.sessions[command.acting_session_id]
    amr = tuple(dict.fromkeys((*session.amr, *proven, "mfa")))
    strengthened = SessionStrengthened(session_id=session.session_id, amr=amr, acr="aal2")
    return (strengthened, *end_sessions(active, "factors-changed", spare=session.session_id))
