"""How an account comes to another e-mail address, and back. What others hold is not its business."""

from domain.account_access import end_sessions, reject_password, require_session
from domain.account_commands import (
    AbandonEmailChange,
    ChangeEmail,
    EndHold,
    RequestEmailChange,
    UndoEmailChange,
)
from domain.account_factors import remove_factors
from domain.account_state import Absent, Account, Active, Disabled, Pending
from domain.addresses import (
    MAX_HOLDS,
    can_be_confirmed,
    evolve_addresses,
    find_hold,
    given_back,
    has_address,
    mailed_lately,
)
from domain.refusals import InvalidCode
from events.email_change import (
    EmailChangeAbandoned,
    EmailChangeCodeRejected,
    EmailChanged,
    EmailChangeIgnored,
    EmailChangeRequested,
    EmailChangeUndone,
    EmailHoldEnded,
    IgnoredChangeCause,
)
from events.fact import Event


def request_email_change(state: Account, command: RequestEmailChange) -> tuple[Event, ...]:
    active = require_session(state, command)
    rejected = reject_password(active, command)
    if rejected:
        return rejected
    obstacle = _obstacle(active, command)
    if obstacle is not None:
        return (EmailChangeIgnored(cause=obstacle),)
    requested = EmailChangeRequested(
        change_id=command.change_id,
        identifier=command.identifier,
        code_expires_at=command.code_expires_at,
        requested_at=command.at,
        email=command.email,
    )
    return (requested,)


def change_email(state: Account, command: ChangeEmail) -> tuple[Event, ...]:
    active = require_session(state, command)
    change = active.addresses.change
    if (
        change is None
        or change.change_id != command.matching_change_id
        or not can_be_confirmed(change, limit=command.limit, at=command.at)
    ):
        return (EmailChangeCodeRejected(),)
    changed = EmailChanged(
        change_id=change.change_id,
        identifier=change.identifier,
        undo_until=command.undo_until,
        email=change.email,
        previous_email=active.email,
    )
    return (changed, *end_sessions(active, "email-changed", spare=command.acting_session_id))


def abandon_email_change(state: Account, command: AbandonEmailChange) -> tuple[Event, ...]:
    change = state.addresses.change if isinstance(state, Active) else None
    if change is None or change.change_id != command.change_id:
        return ()
    return (EmailChangeAbandoned(change_id=command.change_id, cause=command.cause),)


def undo_email_change(state: Account, command: UndoEmailChange) -> tuple[Event, ...]:
    """Good on a disabled account too, which stays disabled: who lost the address need not wait.

    Factors that were enrolled since then are the thief's, and go with the address.
    """
    if not isinstance(state, Active | Disabled):
        raise InvalidCode
    hold = find_hold(state.addresses, command.change_id)
    if hold is None or command.at >= hold.until:
        raise InvalidCode
    undone = EmailChangeUndone(change_id=command.change_id, email=hold.held.email)
    left = given_back(state.addresses, evolve_addresses(state.addresses, undone))
    account = state if isinstance(state, Active) else state.account
    removed = remove_factors(account, {held.claim_id for held in left}, hold.held.email)
    ended = end_sessions(state, "email-change-undone") if isinstance(state, Active) else ()
    return (undone, *removed, *ended)


def end_hold(state: Account, command: EndHold) -> tuple[Event, ...]:
    if isinstance(state, Absent | Pending):
        return ()
    hold = find_hold(state.addresses, command.change_id)
    if hold is None or command.at < hold.until:
        return ()
    return (EmailHoldEnded(change_id=command.change_id),)


def _obstacle(state: Active, command: RequestEmailChange) -> IgnoredChangeCause | None:
    addresses = state.addresses
    if has_address(addresses, command.identifier):
        return "same-address"
    if len(addresses.holds) >= MAX_HOLDS:
        return "too-many-addresses"
    if len(mailed_lately(addresses.mailed_at, command.at)) >= command.mail_limit:
        return "too-many-mails"
    return "taken" if command.is_taken else None
