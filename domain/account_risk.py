"""What is done about an account at risk: a session is flagged, has to prove itself again, or its owner is told.

The conclusions come from workers that count; a conclusion that was drawn already changes nothing.
"""

from domain.account_commands import FlagSession, NotifyOwner, RequireStepUp
from domain.account_state import Absent, Account, Active, Closed, Disabled, Pending
from domain.refusals import UnknownAccount
from domain.session import is_live
from events.fact import Event
from events.risk import OwnerNoticeRequested, SessionFlagged, StepUpRequired


def flag_session(state: Account, command: FlagSession) -> tuple[Event, ...]:
    """Also a session that has ended: the flag is for those who look at what it did."""
    account = _account(state)
    if account is None or command.session_id in account.risk.flagged:
        return ()
    return (SessionFlagged(session_id=command.session_id, reason=command.reason, flagged_at=command.at),)


def require_step_up(state: Account, command: RequireStepUp) -> tuple[Event, ...]:
    account = _account(state)
    if account is None:
        return ()
    return tuple(
        StepUpRequired(session_id=session.session_id, reason=command.reason, required_at=command.at)
        for session in account.sessions.values()
        if command.session_id in (None, session.session_id)
        and is_live(session, command.at)
        and not session.needs_step_up
    )


def notify_owner(state: Account, command: NotifyOwner) -> tuple[Event, ...]:
    """Only somebody who can sign in has use for such a mail."""
    account = _account(state)
    if not isinstance(state, Active) or account is None or command.notice_id in account.risk.noticed:
        return ()
    notice = OwnerNoticeRequested(
        notice_id=command.notice_id,
        reason=command.reason,
        requested_at=command.at,
        email=account.email,
    )
    return (notice,)


def _account(state: Account) -> Active | None:
    """None for one whose owner closed it: nothing is at risk any more."""
    match state:
        case Absent() | Pending():
            raise UnknownAccount
        case Disabled(account=account):
            return account
        case Closed():
            return None
        case _:
            return state
