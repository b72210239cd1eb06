"""Builds `identifiers`: who holds an address, by which claims, and whose registration waits for its code there.

It follows the log's own rules (`domain.identifier`), of which it may import nothing; a test compares the two.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from events.identifier import (
    ChallengeRenewed,
    IdentifierClaimed,
    IdentifierClaimedByChange,
    IdentifierReleased,
    IdentifierReserved,
    ReservationDropped,
)
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_columns, fold_rows
from readmodels.identifiers import Identifier, identifier_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class Identifiers(Versioned):
    read_model = "identifiers"
    parks = True
    handles = frozenset(
        {
            IdentifierReserved,
            ChallengeRenewed,
            ReservationDropped,
            IdentifierClaimed,
            IdentifierClaimedByChange,
            IdentifierReleased,
        }
    )

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(_name(fact), fact) for fact in facts]
        rows = await identifier_rows(tx, self.name, {key for key, _ in keyed})
        changed, gone = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], *as_columns(Identifier, changed))
        if gone:
            await tx.execute(of_table(_SQL, self.name)["delete"], gone)


def evolve(row: Identifier | None, fact: RecordedFact) -> Identifier | None:
    """None where nobody holds it or waits for it."""
    evolved = _evolve(Identifier(identifier=_name(fact)) if row is None else row, fact)
    return evolved if evolved.account_ids else None


def _evolve(row: Identifier, fact: RecordedFact) -> Identifier:
    match fact.event:
        case IdentifierReserved() | ChallengeRenewed() as event:
            return replace(row, waiting=(*_without(row, event.account_id), event.account_id))
        case ReservationDropped() as event:
            return replace(row, waiting=_without(row, event.account_id))
        case IdentifierClaimed() as event:
            held = _held(row, event.account_id, fact)
            return replace(
                held, claims=held.claims or (event.account_id,), waiting=_without(row, event.account_id)
            )
        case IdentifierClaimedByChange() as event:
            held = _held(row, event.account_id, fact)
            return replace(held, claims=(*held.claims, event.change_id))
        case IdentifierReleased() as event if event.account_id == row.holder:
            return _released(row, event)
        case _:
            return row


def _held(row: Identifier, account_id: str, fact: RecordedFact) -> Identifier:
    """The account's. It begins with no claim, if it did not hold the address before."""
    if row.holder == account_id:
        return row
    return replace(row, holder=account_id, claims=(), held_since=fact.at)


def _released(row: Identifier, event: IdentifierReleased) -> Identifier:
    """With the last claim, what the holder still had to prove here is over too."""
    claims = tuple(claim for claim in row.claims if claim != event.claim_id)
    if claims:
        return replace(row, claims=claims)
    return Identifier(identifier=row.identifier, waiting=_without(row, event.account_id))


def _without(row: Identifier, account_id: str) -> tuple[str, ...]:
    return tuple(one for one in row.waiting if one != account_id)


def _name(fact: RecordedFact) -> str:
    return fact.stream.removeprefix("identifier-")
