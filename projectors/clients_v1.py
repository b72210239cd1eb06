"""Builds `clients_v1`. A client is registered once and does not change yet."""

from collections.abc import Sequence

from events.client import ClientRegistered
from eventstore.facts import RecordedFact
from projectors.projector import as_json
from readmodels.clients_v1 import Client
from readmodels.statements import load_statements
from runtime.postgres import Connection

_SQL = load_statements(__file__)


class ClientsV1:
    name = "clients_v1"
    handles = frozenset({ClientRegistered})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        rows = [_client(fact.event) for fact in facts if isinstance(fact.event, ClientRegistered)]
        await tx.execute(_SQL["write"], as_json(rows))


def _client(event: ClientRegistered) -> Client:
    return Client(
        client_id=event.client_id,
        name=event.name,
        scopes=event.scopes,
        audiences=event.audiences,
        secret_digest=event.secret_digest,
        created_at=event.registered_at,
    )
