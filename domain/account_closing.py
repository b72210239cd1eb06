"""How an account is shut: closed by its owner for good, or disabled by an administrator until enabled again."""

from typing import assert_never

from domain.account_access import end_sessions, reject_password, require_session
from domain.account_commands import (
    CloseAccount,
    DisableAccount,
    EnableAccount,
    SignOutAccount,
    UnlockAccount,
)
from domain.account_state import Absent, Account, Active, Closed, Disabled, Pending
from domain.refusals import AccountIsClosed, UnknownAccount
from events.account import AccountClosed, AccountDisabled, AccountEnabled, AccountUnlocked
from events.fact import Event


def close_account(state: Account, command: CloseAccount) -> tuple[Event, ...]:
    active = require_session(state, command)
    rejected = reject_password(active, command)
    if rejected:
        return rejected
    closed = AccountClosed(closed_at=command.at, erase_after=command.erase_after)
    return (*end_sessions(active, "account-closed"), closed)


def disable_account(state: Account, command: DisableAccount) -> tuple[Event, ...]:
    match _known(state):
        case Active() as active:
            disabled = AccountDisabled(disabled_at=command.at)
            return (*end_sessions(active, "account-disabled"), disabled)
        case Disabled() | Closed():
            return ()
        case known:
            assert_never(known)


def enable_account(state: Account, command: EnableAccount) -> tuple[Event, ...]:
    match _known(state):
        case Active():
            return ()
        case Disabled():
            return (AccountEnabled(enabled_at=command.at),)
        case Closed():
            raise AccountIsClosed
        case known:
            assert_never(known)


def unlock_account(state: Account, command: UnlockAccount) -> tuple[Event, ...]:
    known = _known(state)
    account = known.account if isinstance(known, Disabled) else known
    if isinstance(account, Closed):
        return ()
    codes = account.factors
    if (account.failures, account.locked_until, codes.failures, codes.locked_until) == (0, None, 0, None):
        return ()
    return (AccountUnlocked(unlocked_at=command.at),)


def sign_out_account(state: Account, _: SignOutAccount) -> tuple[Event, ...]:
    known = _known(state)
    return end_sessions(known, "signed-out-by-admin") if isinstance(known, Active) else ()


def _known(state: Account) -> Active | Disabled | Closed:
    """A registration that was never proven is no account yet."""
    if isinstance(state, Absent | Pending):
        raise UnknownAccount
    return state
