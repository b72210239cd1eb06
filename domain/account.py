"""One person's account: registration, password, sessions and refresh families.

Laws: a password opens nothing before the address is proven (unless the sign-up policy is open); an ended
session never lives again; every failure that anyone may want to count is a fact.
"""

from typing import assert_never

from domain.account_access import end_sessions, reject_password, require_session
from domain.account_closing import (
    close_account,
    disable_account,
    enable_account,
    sign_out_account,
    unlock_account,
)
from domain.account_commands import (
    AbandonEmailChange,
    Attend,
    ChangeEmail,
    ChangePassword,
    ChangeProfile,
    CloseAccount,
    Command,
    DisableAccount,
    DiscardRegistration,
    EnableAccount,
    EndHold,
    FlagSession,
    NotifyOwner,
    Refresh,
    Register,
    RepeatSignUp,
    ReportMailBounced,
    RequestEmailChange,
    RequestPasswordReset,
    RequestVerification,
    RequireStepUp,
    ResetPassword,
    RevokeSession,
    RevokeSessions,
    SignIn,
    SignOutAccount,
    UndoEmailChange,
    UnlockAccount,
    VerifyEmail,
)
from domain.account_email import (
    abandon_email_change,
    change_email,
    end_hold,
    request_email_change,
    undo_email_change,
)
from domain.account_factors import decide_factors, remove_unproven_factors
from domain.account_mail import report_mail_bounced
from domain.account_reset import request_password_reset, reset_password
from domain.account_risk import flag_session, notify_owner, require_step_up
from domain.account_sign_in import sign_in
from domain.account_state import INITIAL, Absent, Account, Active, Pending, evolve
from domain.addresses import email_at
from domain.aggregate import Aggregate
from domain.factor_commands import FactorCommand
from domain.refusals import InvalidCode, InvalidGrant, PasswordTooShort, StepUpNeeded
from domain.session import RefreshVerdict, judge_refresh
from events.account import (
    AccountRegistered,
    EmailVerified,
    PasswordChanged,
    ProfileChanged,
    RefreshReused,
    RegistrationDiscarded,
    RevocationCause,
    SessionRefreshed,
    SessionRevoked,
    SignUpRepeated,
    VerificationRequested,
)
from events.fact import Event

AccountCommand = Command | FactorCommand


def decide(state: Account, command: AccountCommand) -> tuple[Event, ...]:
    match command:
        case Register():
            return _register(state, command)
        case RequestVerification():
            return _request_verification(state, command)
        case VerifyEmail():
            return _verify_email(state, command)
        case DiscardRegistration():
            return (RegistrationDiscarded(cause=command.cause),) if isinstance(state, Pending) else ()
        case RepeatSignUp():
            return _repeat_sign_up(state, command)
        case SignIn():
            return sign_in(state, command)
        case Refresh():
            return _refresh(state, command)
        case RevokeSession():
            return _revoke_session(state, command)
        case RevokeSessions():
            return _revoke_sessions(state, command)
        case ChangePassword():
            return _change_password(state, command)
        case ChangeProfile():
            return _change_profile(state, command)
        case Attend():
            require_session(state, command)
            return ()
        case RequestPasswordReset() | ResetPassword():
            return _decide_reset(state, command)
        case RequestEmailChange() | ChangeEmail() | AbandonEmailChange() | UndoEmailChange() | EndHold():
            return _decide_email(state, command)
        case ReportMailBounced():
            return report_mail_bounced(state, command)
        case FlagSession() | RequireStepUp() | NotifyOwner():
            return _decide_risk(state, command)
        case CloseAccount() | DisableAccount() | EnableAccount() | UnlockAccount() | SignOutAccount():
            return _decide_closing(state, command)
        case _:
            return decide_factors(state, command)


def _decide_risk(state: Account, command: FlagSession | RequireStepUp | NotifyOwner) -> tuple[Event, ...]:
    match command:
        case FlagSession():
            return flag_session(state, command)
        case RequireStepUp():
            return require_step_up(state, command)
        case NotifyOwner():
            return notify_owner(state, command)
        case _:
            assert_never(command)


def _decide_reset(state: Account, command: RequestPasswordReset | ResetPassword) -> tuple[Event, ...]:
    if isinstance(command, RequestPasswordReset):
        return request_password_reset(state, command)
    return reset_password(state, command)


def _decide_email(
    state: Account,
    command: RequestEmailChange | ChangeEmail | AbandonEmailChange | UndoEmailChange | EndHold,
) -> tuple[Event, ...]:
    match command:
        case RequestEmailChange():
            return request_email_change(state, command)
        case ChangeEmail():
            return change_email(state, command)
        case AbandonEmailChange():
            return abandon_email_change(state, command)
        case UndoEmailChange():
            return undo_email_change(state, command)
        case EndHold():
            return end_hold(state, command)
        case _:
            assert_never(command)


def _decide_closing(
    state: Account, command: CloseAccount | DisableAccount | EnableAccount | UnlockAccount | SignOutAccount
) -> tuple[Event, ...]:
    match command:
        case CloseAccount():
            return close_account(state, command)
        case DisableAccount():
            return disable_account(state, command)
        case EnableAccount():
            return enable_account(state, command)
        case UnlockAccount():
            return unlock_account(state, command)
        case SignOutAccount():
            return sign_out_account(state, command)
        case _:
            assert_never(command)


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def _register(state: Account, command: Register) -> tuple[Event, ...]:
    assert isinstance(state, Absent), "account ids are random and never used twice"
    registered = AccountRegistered(
        account_id=command.account_id,
        identifier=command.identifier,
        policy=command.policy,
        challenge_id=command.challenge_id,
        code_expires_at=command.code_expires_at,
        registered_at=command.at,
        email=command.email,
        display_name=command.display_name,
        password_hash=command.password_hash,
    )
    return (registered,)


def _request_verification(state: Account, command: RequestVerification) -> tuple[Event, ...]:
    if isinstance(state, Absent):
        return ()
    asked = VerificationRequested(
        challenge_id=command.challenge_id,
        code_expires_at=command.code_expires_at,
        registered_at=state.registered_at,
        email=state.email,
    )
    return (asked,)


def _verify_email(state: Account, command: VerifyEmail) -> tuple[Event, ...]:
    if isinstance(state, Absent):
        raise InvalidCode
    removed = remove_unproven_factors(state) if isinstance(state, Active) else ()
    return (EmailVerified(challenge_id=command.challenge_id), *removed)


def _repeat_sign_up(state: Account, command: RepeatSignUp) -> tuple[Event, ...]:
    """The owner is told at the address that was given, as the owner wrote it: also at one that is only held."""
    email = email_at(state.addresses, command.identifier) if isinstance(state, Active) else None
    return (SignUpRepeated(notice_id=command.notice_id, email=email),)


def _refresh(state: Account, command: Refresh) -> tuple[Event, ...]:
    session = state.sessions.get(command.session_id) if isinstance(state, Active) else None
    if session is None:
        raise InvalidGrant
    match judge_refresh(session, command.generation, command.at, command.grace):
        case RefreshVerdict.ROTATE | RefreshVerdict.REPEAT if session.needs_step_up:
            raise StepUpNeeded
        case RefreshVerdict.ROTATE:
            return (
                SessionRefreshed(
                    session_id=session.session_id,
                    generation=session.generation + 1,
                    refreshed_at=command.at,
                    idle_expires_at=command.at + command.idle,
                ),
            )
        case RefreshVerdict.REPEAT:
            return ()
        case RefreshVerdict.THEFT:
            return (
                RefreshReused(session_id=session.session_id, generation=command.generation),
                SessionRevoked(session_id=session.session_id, cause="refresh-reused"),
            )
        case RefreshVerdict.UNKNOWN:
            raise InvalidGrant
        case verdict:
            assert_never(verdict)


def _revoke_session(state: Account, command: RevokeSession) -> tuple[Event, ...]:
    if not isinstance(state, Active) or command.session_id not in state.sessions:
        return ()
    return (SessionRevoked(session_id=command.session_id, cause=command.cause),)


def _revoke_sessions(state: Account, command: RevokeSessions) -> tuple[Event, ...]:
    active = require_session(state, command)
    cause: RevocationCause = "sign-out-others" if command.spare else "sign-out"
    return end_sessions(active, cause, spare=command.spare)


def _change_password(state: Account, command: ChangePassword) -> tuple[Event, ...]:
    active = require_session(state, command)
    rejected = reject_password(active, command)
    if rejected:
        return rejected
    if command.is_short and not active.factors.is_enrolled:
        raise PasswordTooShort
    ended = end_sessions(active, "password-changed", spare=command.acting_session_id)
    return (PasswordChanged(password_hash=command.password_hash, is_short=command.is_short), *ended)


def _change_profile(state: Account, command: ChangeProfile) -> tuple[Event, ...]:
    active = require_session(state, command)
    if active.display_name == command.display_name:
        return ()
    return (ProfileChanged(display_name=command.display_name),)
