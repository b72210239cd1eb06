"""What several of an account's decisions share: a live session, the password, the end of sessions."""

from datetime import datetime
from typing import Protocol

from domain.account_commands import LockOut
from domain.account_state import Account, Active, is_locked
from domain.refusals import SessionEnded
from domain.session import is_live
from events.account import AccountLocked, PasswordRejected, RevocationCause, SessionRevoked


class WithinSession(Protocol):
    """A command that is given within a session."""

    @property
    def acting_session_id(self) -> str: ...
    @property
    def at(self) -> datetime: ...


class WithPassword(WithinSession, Protocol):
    """A command within a session that gives the password again, with the verdict on it."""

    @property
    def is_password_right(self) -> bool: ...
    @property
    def lock_out(self) -> LockOut: ...


def require_session(state: Account, command: WithinSession) -> Active:
    session = state.sessions.get(command.acting_session_id) if isinstance(state, Active) else None
    if session is None or not is_live(session, command.at):
        raise SessionEnded
    assert isinstance(state, Active)
    return state


def reject_password(state: Active, command: WithPassword) -> tuple[PasswordRejected | AccountLocked, ...]:
    """Nothing if the password opens; else what it leads to. Locked, the right one is refused too."""
    locked = is_locked(state, command.at)
    if command.is_password_right and not locked:
        return ()
    rejected = PasswordRejected(session_id=command.acting_session_id, failed_at=command.at)
    return (rejected,) if locked else (rejected, *lock(state, command.lock_out, command.at))


def lock(state: Active, lock_out: LockOut, at: datetime) -> tuple[AccountLocked, ...]:
    """The lock that this failure brings, if it is the one too many."""
    if state.failures + 1 < lock_out.failures:
        return ()
    return (AccountLocked(locked_until=at + lock_out.duration),)


def end_sessions(
    state: Active, cause: RevocationCause, *, spare: str | None = None
) -> tuple[SessionRevoked, ...]:
    return tuple(
        SessionRevoked(session_id=session_id, cause=cause)
        for session_id in state.sessions
        if session_id != spare
    )
