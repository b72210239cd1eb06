"""One e-mail address: who waits to prove it, and who holds it.

Laws: an address is held by at most one account at a time, as long as one of that account's claims stands.
Only a code that was sent for a registration can turn that registration into the holder; what proves an
e-mail change is the changing account's business.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from domain.aggregate import Aggregate
from domain.refusals import EmailTaken
from events.fact import Event
from events.identifier import (
    ChallengeRenewed,
    CodeRejected,
    IdentifierClaimed,
    IdentifierClaimedByChange,
    IdentifierReleased,
    IdentifierReserved,
    ResendIgnored,
    ReservationDropped,
    UnknownResetIgnored,
    UnknownResetRejected,
    UnknownSignInFailed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """A registration that must prove the address first. The oldest beyond `limit` is dropped."""

    account_id: str
    challenge_id: str
    code_expires_at: datetime
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Hold the address at once, unproven (sign-up policy "open"); its owner may prove it later."""

    account_id: str
    challenge_id: str
    code_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimByChange:
    """Hold the address for an account that changes to it. The same claim twice is the same as once."""

    account_id: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give one claim back. One that is not here is no news."""

    account_id: str
    claim_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewChallenges:
    """A new code for every registration that waits.

    One address may have several, made by different people: each mail says when its own was made, so that
    nobody enters a stranger's code unawares.
    """

    challenge_ids: tuple[str, ...]
    code_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentCode:
    """`matching_account_id` is whose code it is, by the verdict of who derived the codes; None for nobody's."""

    matching_account_id: str | None
    limit: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FailUnknownSignIn:
    """Count a sign-in for an address that nobody holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreUnknownReset:
    """Count a password reset asked for an address that nobody holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectUnknownReset:
    """Count a reset code for an address that nobody holds."""


Command = (
    Reserve
    | Claim
    | ClaimByChange
    | Release
    | RenewChallenges
    | PresentCode
    | FailUnknownSignIn
    | IgnoreUnknownReset
    | RejectUnknownReset
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    account_id: str
    challenge_id: str
    code_expires_at: datetime
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """`waiting` holds registrations whose code was not presented yet, oldest first.

    `claims` are those of the holder, at least one: its own id for what it signed up with, else a change's id.
    """

    holder: str | None = None
    claims: tuple[str, ...] = ()
    waiting: tuple[Reservation, ...] = ()


INITIAL = Identifier()


def decide(state: Identifier, command: Command) -> tuple[Event, ...]:
    match command:
        case Reserve():
            return _reserve(state, command)
        case Claim():
            return _claim(state, command)
        case ClaimByChange():
            return _claim_by_change(state, command)
        case Release():
            return _release(state, command)
        case RenewChallenges():
            return _renew_challenges(state, command)
        case PresentCode():
            return _present_code(state, command)
        case FailUnknownSignIn():
            return (UnknownSignInFailed(cause="unknown"),)
        case IgnoreUnknownReset():
            return (UnknownResetIgnored(),)
        case RejectUnknownReset():
            return (UnknownResetRejected(),)
        case _:
            assert_never(command)


def evolve(state: Identifier, event: Event) -> Identifier:
    match event:
        case IdentifierReserved() | ChallengeRenewed():
            return _waiting(state, event)
        case ReservationDropped():
            return replace(state, waiting=_without(state, event.account_id))
        case IdentifierClaimed():
            claims = state.claims if state.holder == event.account_id else (event.account_id,)
            waiting = _without(state, event.account_id)
            return replace(state, holder=event.account_id, claims=claims, waiting=waiting)
        case IdentifierClaimedByChange():
            claims = state.claims if state.holder == event.account_id else ()
            return replace(state, holder=event.account_id, claims=(*claims, event.change_id))
        case IdentifierReleased():
            return _released(state, event)
        case CodeRejected():
            return replace(state, waiting=tuple(replace(r, failures=r.failures + 1) for r in state.waiting))
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def can_be_proven(reservation: Reservation, *, limit: int, at: datetime) -> bool:
    """Whether its code still counts: not expired, and not guessed at too often."""
    return at < reservation.code_expires_at and reservation.failures < limit


def _reserve(state: Identifier, command: Reserve) -> tuple[Event, ...]:
    if state.holder is not None:
        raise EmailTaken
    excess = max(0, len(state.waiting) + 1 - command.limit)
    dropped = tuple(ReservationDropped(account_id=r.account_id) for r in state.waiting[:excess])
    reserved = IdentifierReserved(
        account_id=command.account_id,
        challenge_id=command.challenge_id,
        code_expires_at=command.code_expires_at,
    )
    return (*dropped, reserved)


def _claim(state: Identifier, command: Claim) -> tuple[Event, ...]:
    if state.holder is not None:
        raise EmailTaken
    dropped = tuple(ReservationDropped(account_id=r.account_id) for r in state.waiting)
    claimed = IdentifierClaimed(account_id=command.account_id)
    challenge = ChallengeRenewed(
        account_id=command.account_id,
        challenge_id=command.challenge_id,
        code_expires_at=command.code_expires_at,
    )
    return (*dropped, claimed, challenge)


def _claim_by_change(state: Identifier, command: ClaimByChange) -> tuple[Event, ...]:
    if state.holder not in (None, command.account_id):
        raise EmailTaken
    if command.change_id in state.claims:
        return ()
    others = (r for r in state.waiting if r.account_id != command.account_id)
    dropped = tuple(ReservationDropped(account_id=r.account_id) for r in others)
    claimed = IdentifierClaimedByChange(account_id=command.account_id, change_id=command.change_id)
    return (claimed, *dropped)


def _release(state: Identifier, command: Release) -> tuple[Event, ...]:
    if state.holder != command.account_id or command.claim_id not in state.claims:
        return ()
    return (IdentifierReleased(account_id=command.account_id, claim_id=command.claim_id),)


def _renew_challenges(state: Identifier, command: RenewChallenges) -> tuple[Event, ...]:
    if not state.waiting:
        return (ResendIgnored(),)
    return tuple(
        ChallengeRenewed(
            account_id=reservation.account_id,
            challenge_id=challenge_id,
            code_expires_at=command.code_expires_at,
        )
        for reservation, challenge_id in zip(state.waiting, command.challenge_ids, strict=False)
    )


def _present_code(state: Identifier, command: PresentCode) -> tuple[Event, ...]:
    proven = next(
        (
            reservation
            for reservation in state.waiting
            if reservation.account_id == command.matching_account_id
            and can_be_proven(reservation, limit=command.limit, at=command.at)
        ),
        None,
    )
    if proven is None:
        return (CodeRejected(),)
    others = (r for r in state.waiting if r.account_id != proven.account_id)
    dropped = tuple(ReservationDropped(account_id=r.account_id) for r in others)
    return (IdentifierClaimed(account_id=proven.account_id), *dropped)


def _released(state: Identifier, event: IdentifierReleased) -> Identifier:
    """With the last claim, what the holder still had to prove here is over too."""
    if state.holder != event.account_id:
        return state
    claims = tuple(claim for claim in state.claims if claim != event.claim_id)
    if claims:
        return replace(state, claims=claims)
    return Identifier(waiting=_without(state, event.account_id))


def _waiting(state: Identifier, event: IdentifierReserved | ChallengeRenewed) -> Identifier:
    reservation = Reservation(
        account_id=event.account_id,
        challenge_id=event.challenge_id,
        code_expires_at=event.code_expires_at,
    )
    return replace(state, waiting=(*_without(state, event.account_id), reservation))


def _without(state: Identifier, account_id: str) -> tuple[Reservation, ...]:
    return tuple(r for r in state.waiting if r.account_id != account_id)
