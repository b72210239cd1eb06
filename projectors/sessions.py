"""Builds `sessions`. Law: an ended session never lives again, in whatever order its facts are batched."""

from collections.abc import Sequence

from msgspec.structs import replace

from events.account import SessionRefreshed, SessionRevoked, SessionStarted, SessionStrengthened
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_columns, fold_rows, storable
from readmodels.sessions import Session, session_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class Sessions(Versioned):
    read_model = "sessions"
    parks = False
    handles = frozenset({SessionStarted, SessionRefreshed, SessionStrengthened, SessionRevoked})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(_session_id(fact), fact) for fact in facts]
        rows = await session_rows(tx, self.name, {key for key, _ in keyed})
        changed, _ = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], *as_columns(Session, changed))


def evolve(row: Session | None, fact: RecordedFact) -> Session | None:
    match row, fact.event:
        case None, SessionStarted() as event:
            return _started(fact, event)
        case Session(ended_at=None), SessionRefreshed() as event:
            return replace(
                row,
                generation=event.generation,
                last_seen_at=event.refreshed_at,
                idle_expires_at=event.idle_expires_at,
            )
        case Session(ended_at=None), SessionStrengthened() as event:
            return replace(row, amr=event.amr, acr=event.acr)
        case Session(ended_at=None), SessionRevoked() as event:
            return replace(row, ended_at=fact.at, ended_cause=event.cause)
        case _:
            return row


def _started(fact: RecordedFact, event: SessionStarted) -> Session:
    return Session(
        session_id=event.session_id,
        account_id=fact.stream.removeprefix("account-"),
        client_id=event.client_id,
        scope=event.scope,
        amr=event.amr,
        acr=event.acr,
        generation=1,
        created_at=event.started_at,
        last_seen_at=event.started_at,
        idle_expires_at=event.idle_expires_at,
        expires_at=event.expires_at,
        ip=storable(event.ip),
        user_agent=storable(event.user_agent),
    )


def _session_id(fact: RecordedFact) -> str:
    event = fact.event
    assert isinstance(event, SessionStarted | SessionRefreshed | SessionStrengthened | SessionRevoked)
    return event.session_id
