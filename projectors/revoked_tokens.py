"""Builds `revoked_tokens`: what machine clients gave up, for when Valkey cannot be asked."""

from collections.abc import Sequence

from events.client import ClientTokenRevoked
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_json
from readmodels.revoked_tokens import RevokedToken
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class RevokedTokens(Versioned):
    read_model = "revoked_tokens"
    parks = False
    handles = frozenset({ClientTokenRevoked})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        rows = [
            RevokedToken(
                jti=fact.event.jti,
                client_id=fact.stream.removeprefix("client-"),
                revoked_at=fact.at,
                expires_at=fact.event.expires_at,
            )
            for fact in facts
            if isinstance(fact.event, ClientTokenRevoked)
        ]
        await tx.execute(of_table(_SQL, self.name)["write"], as_json(rows))
