"""Builds `clients`. Law: a deleted client has no secret, and never lives again."""

from collections.abc import Sequence
from dataclasses import replace

from events.client import ClientDeleted, ClientRegistered, ClientSecretAdded
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_json, fold_rows
from readmodels.clients import Client, client_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_LIVE_SECRETS = 2
"""As `client.secret_added` says."""
_SQL = load_statements(__file__)


class Clients(Versioned):
    read_model = "clients"
    parks = False
    handles = frozenset({ClientRegistered, ClientSecretAdded, ClientDeleted})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(fact.stream.removeprefix("client-"), fact) for fact in facts]
        rows = await client_rows(tx, self.name, {key for key, _ in keyed})
        changed, _ = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], as_json(changed))


def evolve(row: Client | None, fact: RecordedFact) -> Client | None:
    match row, fact.event:
        case None, ClientRegistered() as event:
            return Client(
                client_id=event.client_id,
                name=event.name,
                scopes=event.scopes,
                audiences=event.audiences,
                secret_digests=(event.secret_digest,),
                created_at=event.registered_at,
            )
        case Client(deleted_at=None), ClientSecretAdded() as event:
            digests = (*row.secret_digests, event.secret_digest)
            return replace(row, secret_digests=digests[-_LIVE_SECRETS:])
        case Client(deleted_at=None), ClientDeleted() as event:
            return replace(row, secret_digests=(), deleted_at=event.deleted_at)
        case _:
            return row
