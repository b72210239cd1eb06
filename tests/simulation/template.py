"""The log that every schedule begins with: geneses, and a few people with sessions and wishes."""

import functools
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from command_api.callers import Person
from events.account import EmailVerified
from events.email_change import EmailChangeRequested
from events.identifier import IdentifierClaimed
from events.streams import account_stream, new_id, slot_prefix, stream
from eventstore.commit import Record
from eventstore.key_index import KeyRecord
from eventstore.memory_log import MemoryLog
from eventstore.provision import write_genesis
from tests.simulation.entropy import seeded_entropy
from tests.simulation.loop import Pace, Process, new_loop
from tests.support.examples import started
from tests.support.memory_keys import KeyTopic
from tests.support.people import registered
from tests.support.scribe import Scribe

BEGINNING = datetime(2026, 1, 31, 12, tzinfo=UTC)
PARTITIONS = (1, 2)
_PACE = Pace(persistence=1.0, step_seconds=0.0, slow=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhabitant:
    """Somebody with a session, an address of his own, and a wish for another one, which both may share."""

    person: Person
    own: str
    wish: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    partitions: int
    records: tuple[tuple[Record, ...], ...]
    keys: tuple[KeyRecord, ...]
    people: tuple[Inhabitant, ...]

    def log(self) -> MemoryLog:
        log = MemoryLog(self.partitions)
        for partition, records in enumerate(self.records):
            for record in records:
                log.store(partition, record.key or b"", record.value or b"")
        return log

    def topic(self) -> KeyTopic:
        topic = KeyTopic()
        topic.records.extend(self.keys)
        return topic


@functools.cache
def template(partitions: int) -> Template:
    """The same for everybody, in every process."""
    world = Process(0, "world")
    loop = new_loop(random.Random(0), _PACE, max_steps=10_000)
    with seeded_entropy("template"):
        made = loop.run(world, _made(partitions))
    loop.close()
    return made


def identifier(slot: int) -> str:
    """The stream of some address in this slot."""
    return stream("identifier", slot_prefix(slot) + new_id()[2:] + "a" * 26)


async def _made(partitions: int) -> Template:
    log, topic = MemoryLog(partitions), KeyTopic()
    await write_genesis(log, lambda: BEGINNING)
    scribe = Scribe(log, topic.keyring())
    shared = identifier(1)
    people = [await _settled(scribe, slot, shared) for slot in range(2)]
    return Template(
        partitions=partitions,
        records=tuple(tuple(log.records(number)) for number in range(partitions)),
        keys=tuple(topic.records),
        people=tuple(people),
    )


async def _settled(scribe: Scribe, slot: int, wish: str) -> Inhabitant:
    account_id, own, change_id = new_id(slot), identifier(slot), new_id()
    name = account_stream(account_id)
    facts: list[tuple[str, Any]] = [
        (own, IdentifierClaimed(account_id=account_id)),
        (name, replace(registered(account_id, BEGINNING), identifier=own)),
        (name, EmailVerified(challenge_id="c")),
        (name, started(f"{account_id}-s", BEGINNING)),
        (
            name,
            EmailChangeRequested(
                change_id=change_id,
                identifier=wish,
                code_expires_at=BEGINNING + timedelta(hours=1),
                requested_at=BEGINNING,
                email="new@example.com",
            ),
        ),
    ]
    await scribe.write_all(facts, at=BEGINNING)
    person = Person(account_id=account_id, session_id=f"{account_id}-s")
    return Inhabitant(person=person, own=own, wish=wish, change_id=change_id)
