"""A new password for whoever reads the account's mail. It ends the lock-out, because it proves the owner."""

from domain.account_access import end_sessions
from domain.account_commands import RequestPasswordReset, ResetPassword
from domain.account_factors import remove_unproven_factors
from domain.account_state import Account, Active
from domain.addresses import has_address, mailed_lately
from domain.refusals import PasswordTooShort
from events.account import (
    PasswordReset,
    PasswordResetIgnored,
    PasswordResetRequested,
    ResetCodeRejected,
    ResetRefusalCause,
)
from events.fact import Event


def request_password_reset(state: Account, command: RequestPasswordReset) -> tuple[Event, ...]:
    obstacle = _obstacle(state, command)
    if obstacle is not None:
        return (PasswordResetIgnored(cause=obstacle),)
    assert isinstance(state, Active)
    requested = PasswordResetRequested(
        challenge_id=command.challenge_id,
        code_expires_at=command.code_expires_at,
        requested_at=command.at,
        email=state.email,
    )
    return (requested,)


def reset_password(state: Account, command: ResetPassword) -> tuple[Event, ...]:
    if not isinstance(state, Active) or not _opens(state, command):
        return (ResetCodeRejected(),)
    assert command.matching_challenge_id is not None
    if command.is_short and not state.factors.is_enrolled:
        raise PasswordTooShort
    changed = PasswordReset(
        challenge_id=command.matching_challenge_id,
        password_hash=command.password_hash,
        is_short=command.is_short,
    )
    return (changed, *remove_unproven_factors(state), *end_sessions(state, "password-reset"))


def _obstacle(state: Account, command: RequestPasswordReset) -> ResetRefusalCause | None:
    if not isinstance(state, Active):
        return "not-active"
    if not has_address(state.addresses, command.identifier):
        return "not-the-address"
    if len(mailed_lately(state.reset_mailed_at, command.at)) >= command.mail_limit:
        return "too-many-mails"
    return None


def _opens(state: Active, command: ResetPassword) -> bool:
    reset = state.reset
    return (
        reset is not None
        and has_address(state.addresses, command.identifier)
        and reset.challenge_id == command.matching_challenge_id
        and command.at < reset.code_expires_at
        and reset.failures < command.limit
    )
