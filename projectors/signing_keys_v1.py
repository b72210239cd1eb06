"""Builds `signing_keys_v1`: the public keys that tokens are checked with. Private halves never come here."""

from collections.abc import Sequence

from events.signing_keys import SigningKeyCreated
from eventstore.facts import RecordedFact
from projectors.projector import as_json
from readmodels.signing_keys_v1 import SigningKey
from readmodels.statements import load_statements
from runtime.postgres import Connection

_SQL = load_statements(__file__)


class SigningKeysV1:
    name = "signing_keys_v1"
    handles = frozenset({SigningKeyCreated})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        rows = [_key(fact.event) for fact in facts if isinstance(fact.event, SigningKeyCreated)]
        await tx.execute(_SQL["write"], as_json(rows))


def _key(event: SigningKeyCreated) -> SigningKey:
    return SigningKey(
        kid=event.kid, alg=event.alg, public_jwk=dict(event.public_jwk), created_at=event.created_at
    )
