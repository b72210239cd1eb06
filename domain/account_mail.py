"""What becomes of mails to an account: those that the owner's mail server refused for good."""

from domain.account_commands import ReportMailBounced
from domain.account_state import Absent, Account, Active, Closed, Disabled, Pending
from domain.refusals import UnknownAccount
from events.account import MailBounced
from events.fact import Event


def report_mail_bounced(state: Account, command: ReportMailBounced) -> tuple[Event, ...]:
    """Once for each mail. Of a closed account nothing is kept, and it gets no mail either."""
    match state:
        case Absent():
            raise UnknownAccount
        case Closed():
            return ()
        case Disabled(account=account):
            return _bounced(account, command)
        case _:
            return _bounced(state, command)


def _bounced(account: Active | Pending, command: ReportMailBounced) -> tuple[Event, ...]:
    if command.message_id in account.bounced:
        return ()
    return (MailBounced(message_id=command.message_id, kind=command.kind, bounced_at=command.at),)
