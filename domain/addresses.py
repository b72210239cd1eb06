"""The e-mail addresses of one account: the one it has, one it wants, and those it may go back to.

Laws: every address here is held at its identifier by a claim of its own (`claim_id`: the change that brought
it, or the account's own id where it was there from the beginning). A claim that left here never comes back,
so giving it back at its identifier is right at any later time. Older holds outlive newer ones: whoever had
the address first can undo what came after.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from events.email_change import (
    EmailChangeAbandoned,
    EmailChangeCodeRejected,
    EmailChanged,
    EmailChangeIgnored,
    EmailChangeRequested,
    EmailChangeUndone,
    EmailHoldEnded,
)
from events.fact import Event, personal

MAX_HOLDS = 10
"""Former addresses of one account that may be held at once, so that no account grows without bound."""
MAIL_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """`email` is the address as its owner wrote it, None once the account's data key was erased."""

    identifier: str
    claim_id: str
    email: str | None = personal(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A former address: the change `change_id` left it, and may be undone until `until`."""

    held: Held
    change_id: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChange:
    """A change that waits for its code."""

    change_id: str
    identifier: str
    code_expires_at: datetime
    failures: int = 0
    email: str | None = personal(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """`holds` are oldest first; `mailed_at` says when codes for changes went out, within the last hour."""

    current: Held
    change: EmailChange | None = None
    holds: tuple[Hold, ...] = ()
    mailed_at: tuple[datetime, ...] = ()

    @property
    def held(self) -> tuple[Held, ...]:
        return (*(hold.held for hold in self.holds), self.current)


def evolve_addresses(state: Addresses, event: Event) -> Addresses:
    match event:
        case EmailChangeRequested():
            change = EmailChange(
                change_id=event.change_id,
                identifier=event.identifier,
                email=event.email,
                code_expires_at=event.code_expires_at,
            )
            mailed_at = (*mailed_lately(state.mailed_at, event.requested_at), event.requested_at)
            return replace(state, change=change, mailed_at=mailed_at)
        case EmailChangeIgnored() | EmailChangeAbandoned():
            return replace(state, change=None)
        case EmailChangeCodeRejected() if state.change is not None:
            return replace(state, change=replace(state.change, failures=state.change.failures + 1))
        case EmailChanged():
            held = Held(identifier=event.identifier, claim_id=event.change_id, email=event.email)
            hold = Hold(held=state.current, change_id=event.change_id, until=event.undo_until)
            return replace(state, current=held, change=None, holds=(*state.holds, hold))
        case EmailChangeUndone():
            return _undone(state, event)
        case EmailHoldEnded():
            kept = tuple(hold for hold in state.holds if hold.change_id != event.change_id)
            return replace(state, holds=kept)
        case _:
            return state


def has_address(state: Addresses, identifier: str) -> bool:
    """Whether this is the account's address now. A claim alone does not make it that, nor does a hold."""
    return state.current.identifier == identifier


def email_at(state: Addresses, identifier: str) -> str | None:
    """The address behind this identifier as its owner wrote it, None if the account does not hold it."""
    return next((held.email for held in state.held if held.identifier == identifier), None)


def find_hold(state: Addresses, change_id: str) -> Hold | None:
    return next((hold for hold in state.holds if hold.change_id == change_id), None)


def can_be_confirmed(change: EmailChange, *, limit: int, at: datetime) -> bool:
    """Whether its code still counts: not expired, and not guessed at too often."""
    return at < change.code_expires_at and change.failures < limit


def given_back(before: Addresses, after: Addresses) -> tuple[Held, ...]:
    """The addresses whose claims left the account."""
    kept = {held.claim_id for held in after.held}
    return tuple(held for held in before.held if held.claim_id not in kept)


def mailed_lately(mailed_at: tuple[datetime, ...], at: datetime) -> tuple[datetime, ...]:
    return tuple(moment for moment in mailed_at if moment > at - MAIL_WINDOW)


def _undone(state: Addresses, event: EmailChangeUndone) -> Addresses:
    places = [place for place, hold in enumerate(state.holds) if hold.change_id == event.change_id]
    if not places:
        return state
    restored = state.holds[places[0]].held
    return replace(state, current=restored, change=None, holds=state.holds[: places[0]])
