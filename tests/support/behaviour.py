"""What each read model makes of facts, as digests: of every pair of kinds of facts that it handles."""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace

from msgspec import structs

from events.account import AccountRegistered, SessionStarted
from events.client import ClientRegistered
from events.fact import Event
from eventstore.commit import Position
from eventstore.facts import RecordedFact
from projectors.versions import first_versions
from readmodels.dump import digests
from readmodels.tables import READ_MODELS, create_tables
from runtime.postgres import Postgres
from tests.support.examples import MINUTE, recorded
from tests.unit.test_events import example

OWN_IDS = ("account_id", "session_id", "client_id", "kid", "jti")
MORE_OWN_IDS = {"identifiers": ("claim_id",)}
FIRST: dict[str, type[Event]] = {
    "accounts": AccountRegistered,
    "sessions": SessionStarted,
    "clients": ClientRegistered,
}
"""What makes a row, where nothing else does."""


async def behaviour(postgres: Postgres) -> dict[str, str]:
    """The digest of each read model's rows after all of it, by the read model's name."""
    await create_tables(postgres)
    for projector in first_versions():
        read_model = projector.name.removesuffix("_v1")
        async with postgres.transaction() as tx:
            for facts in _stories(read_model, projector.handles):
                await projector.apply(tx, facts)
    return {one.read_model: one.sha256 for one in await digests(postgres, READ_MODELS)}


def _stories(read_model: str, handles: frozenset[type[Event]]) -> Iterator[list[RecordedFact]]:
    kinds = sorted(handles, key=lambda cls: cls.type)
    first = [FIRST[read_model]] if read_model in FIRST else []
    for number, pair in enumerate(itertools.product(kinds, repeat=2)):
        facts = []
        for place, cls in enumerate([*first, *pair]):
            event = _with_ids(example(cls), f"n{number}", MORE_OWN_IDS.get(read_model, ()))
            fact = recorded(event, f"{cls.type.partition('.')[0]}-n{number}")
            at = fact.at + number * MINUTE
            facts.append(
                structs.replace(fact, at=at, position=Position(partition=0, seq=number), number=place)
            )
        yield facts


def _with_ids(event: Event, own: str, more: tuple[str, ...]) -> Event:
    names = {field.name for field in fields(event)}  # type: ignore[arg-type]  # every fact is a dataclass
    return replace(event, **{name: own for name in (*OWN_IDS, *more) if name in names})  # type: ignore[type-var]  # as above
