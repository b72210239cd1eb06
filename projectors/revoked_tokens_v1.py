"""Builds `revoked_tokens_v1`: what machine clients gave up, for when Valkey cannot be asked."""

from collections.abc import Sequence

from events.client import ClientTokenRevoked
from eventstore.facts import RecordedFact
from projectors.projector import as_json
from readmodels.revoked_tokens_v1 import RevokedToken
from runtime.postgres import Connection
from runtime.statements import load_statements

_SQL = load_statements(__file__)


class RevokedTokensV1:
    name = "revoked_tokens_v1"
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
        await tx.execute(_SQL["write"], as_json(rows))
