"""Builds `signing_keys`: the public keys that tokens are checked with. Private halves never come here."""

from collections.abc import Sequence
from dataclasses import replace

from events.signing_keys import SigningKeyCreated, SigningKeyRotated
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_json
from readmodels.signing_keys import SigningKey, signing_key_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class SigningKeys(Versioned):
    """All keys are in one stream and few; a new one changes those before it."""

    read_model = "signing_keys"
    parks = False
    handles = frozenset({SigningKeyCreated, SigningKeyRotated})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        rows = {row.kid: row for row in await signing_key_rows(tx, self.name)}
        folded = dict(rows)
        for fact in facts:
            folded = evolve(folded, fact)
        changed = [row for kid, row in folded.items() if row != rows.get(kid)]
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], as_json(changed))


def evolve(rows: dict[str, SigningKey], fact: RecordedFact) -> dict[str, SigningKey]:
    match fact.event:
        case SigningKeyCreated() as event:
            key = SigningKey(
                kid=event.kid,
                alg=event.alg,
                public_jwk=dict(event.public_jwk),
                created_at=event.created_at,
                activates_at=event.created_at,
            )
            return {**rows, event.kid: key}
        case SigningKeyRotated() as event:
            others = {
                kid: replace(row, retires_at=row.retires_at or event.others_retire_at)
                for kid, row in rows.items()
            }
            key = SigningKey(
                kid=event.kid,
                alg=event.alg,
                public_jwk=dict(event.public_jwk),
                created_at=event.rotated_at,
                activates_at=event.activates_at,
            )
            return {**others, event.kid: key}
        case _:
            return rows
