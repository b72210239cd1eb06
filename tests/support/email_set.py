"""Who holds which e-mail address, as a model: what each answer may say, whatever order the log chose.

A confirmed change is two steps, as the platform promises no more: the new address is held first (`Hold`), then
the account has it (`Move`). What an account gives back is free at some later time (`Release`, an operation
without a return). Every claim on an address is named by what made it: the account's own id, or the change.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.support.linearizability import Model, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """201 or 409."""

    email: str
    account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """The account's id, or None for 401."""

    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """True: the address is held for this change. False: somebody else holds it."""

    email: str
    account_id: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    email: str
    account_id: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """204 or 400."""

    account_id: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    email: str
    account_id: str
    claim_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """True if it was this that closed the account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class Owner:
    """An account: its addresses and their claims, the present one last."""

    account_id: str
    held: tuple[tuple[str, str], ...]
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Emails:
    """`claims` are (address, account, claim)."""

    claims: frozenset[tuple[str, str, str]] = frozenset()
    owners: frozenset[Owner] = frozenset()

    def holder(self, email: str) -> str | None:
        return next((account for held, account, _ in self.claims if held == email), None)

    def owner(self, account_id: str) -> Owner | None:
        return next((owner for owner in self.owners if owner.account_id == account_id), None)

    def claimed(self, email: str, account_id: str, claim_id: str) -> "Emails":
        return replace(self, claims=self.claims | {(email, account_id, claim_id)})

    def with_owner(self, owner: Owner) -> "Emails":
        others = frozenset(one for one in self.owners if one.account_id != owner.account_id)
        return replace(self, owners=others | {owner})


def _step(state: Emails, operation: Operation) -> Iterator[Emails]:
    asked, answer = operation.asked, operation.answer
    match asked:
        case SignUp():
            yield from _sign_up(state, asked, answer)
        case SignIn():
            if _signs_in(state, asked.email) == answer:
                yield state
        case Hold():
            is_ours = state.holder(asked.email) in (None, asked.account_id)
            if is_ours and answer is not False:
                yield state.claimed(asked.email, asked.account_id, asked.change_id)
            elif not is_ours and not answer:
                yield state
        case Move():
            yield from _move(state, asked)
        case Undo():
            yield from _undo(state, asked, answer)
        case Release():
            owner = state.owner(asked.account_id)
            if owner is None or (asked.email, asked.claim_id) not in owner.held:
                gone = {(asked.email, asked.account_id, asked.claim_id)}
                yield replace(state, claims=state.claims - gone)
        case Close():
            owner = state.owner(asked.account_id)
            if owner is not None and not owner.is_closed:
                yield state.with_owner(replace(owner, is_closed=True))


def _sign_up(state: Emails, asked: SignUp, status: int) -> Iterator[Emails]:
    is_free = state.holder(asked.email) is None
    if status == 201 and is_free:
        claimed = state.claimed(asked.email, asked.account_id, asked.account_id)
        yield claimed.with_owner(Owner(asked.account_id, ((asked.email, asked.account_id),)))
    elif status == 409 and not is_free:
        yield state


def _signs_in(state: Emails, email: str) -> str | None:
    """The account that a right password opens here: the holder's, if the address is its present one."""
    holder = state.holder(email)
    owner = state.owner(holder) if holder else None
    is_open = owner is not None and not owner.is_closed and owner.held[-1][0] == email
    return holder if is_open else None


def _move(state: Emails, asked: Move) -> Iterator[Emails]:
    owner = state.owner(asked.account_id)
    is_held = (asked.email, asked.account_id, asked.change_id) in state.claims
    if owner is not None and not owner.is_closed and is_held:
        yield state.with_owner(replace(owner, held=(*owner.held, (asked.email, asked.change_id))))


def _undo(state: Emails, asked: Undo, status: int) -> Iterator[Emails]:
    owner = state.owner(asked.account_id)
    places = []
    if owner is not None and not owner.is_closed:
        places = [place for place, (_, claim) in enumerate(owner.held) if claim == asked.change_id]
    if status == 204 and owner is not None and places:
        yield state.with_owner(replace(owner, held=owner.held[: places[0]]))
    elif status == 400 and not places:
        yield state


EMAIL_SET = Model(initial=Emails(), step=_step)
