"""A crowd's history: every kind of fact that read models handle, in streams where it belongs, as often as wanted."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta

from events.client import ClientDeleted
from events.codec import CATALOGUE
from events.fact import Event
from events.streams import SIGNING_KEYS, account_stream, client_stream, new_id, stream
from eventstore.commit import Record
from eventstore.memory_log import MemoryLog
from projectors.versions import first_versions
from tests.support.examples import refreshed
from tests.support.people import client, given_up, registered, revoked, session_of
from tests.support.scribe import Scribe
from tests.support.writers import now
from tests.unit.test_events import example

KINDS = frozenset().union(*(projector.handles for projector in first_versions()))
_FIRST = ("account.registered", "session.started")
_PAST = timedelta(days=70)
_STEP = timedelta(minutes=9)


class SmallReads(MemoryLog):
    """It hands out a few records at a time, never as many as before, until it is told to be `generous`."""

    def __init__(self, partitions: int, seed: int) -> None:
        super().__init__(partitions)
        self._chance = random.Random(seed)
        self.generous = False
        self.batches = 0

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        found = await super().read(partition, offset, wait_seconds=wait_seconds)
        self.batches += bool(found)
        return found if self.generous else found[: self._chance.randrange(1, 14)]


class Crowd:
    """Lives of people of the past, whose mails are all too late, and people who sign up now."""

    def __init__(self, scribe: Scribe, seed: int) -> None:
        self._scribe = scribe
        self._chance = random.Random(seed)
        self._at = now() - _PAST
        self.written: Counter[str] = Counter()

    @property
    def facts(self) -> int:
        return self.written.total()

    async def live(self, people: int) -> None:
        """One fact of every kind for each of them, in any order after the first ones, up to three in a commit."""
        for number in range(people):
            waiting = self._facts_of(number, new_id(self._chance.randrange(1024)))
            while waiting:
                name = waiting[0][0]
                size = self._chance.randrange(1, 4)
                commit = [event for one, event in waiting[:size] if one == name]
                waiting = waiting[len(commit) :]
                self._at += _STEP
                await self._write(name, *commit, at=self._at)

    async def arrive(self, people: int) -> None:
        """They sign up now, and are owed a mail."""
        for _ in range(people):
            account_id, at = new_id(self._chance.randrange(1024)), now()
            signed_up = replace(registered(account_id, at), email=f"{account_id}@example.com")
            await self._write(account_stream(account_id), signed_up, session_of(account_id, at=at), at=at)

    async def stay(self, people: int) -> None:
        """They are signed in now, twice: one session was refreshed, one ended. A machine client of each gave a token up."""
        for number in range(people):
            account_id, at = new_id(self._chance.randrange(1024)), now()
            name, machine = account_stream(account_id), client_stream(account_id)
            kept, ended = session_of(account_id, 1, at), session_of(account_id, 2, at)
            await self._write(name, registered(account_id, at - _PAST), kept, ended, at=at)
            await self._write(name, refreshed(2, at, kept.session_id), revoked(ended), at=at)
            await self._write(machine, client(account_id), given_up(f"jti-{account_id}", at + _STEP), at=at)
            if number % 2:
                await self._write(machine, ClientDeleted(deleted_at=at), at=at)

    async def _write(self, name: str, *events: Event, at: datetime) -> None:
        await self._scribe.write(name, *events, at=at)
        self.written.update(event.type for event in events)

    def _facts_of(self, number: int, account_id: str) -> list[tuple[str, Event]]:
        facts = list(_one_of_each(number, account_id))
        first = [one for one in facts if one[1].type in _FIRST]
        others = [one for one in facts if one[1].type not in _FIRST]
        self._chance.shuffle(others)
        return first + others


def _one_of_each(number: int, account_id: str) -> Iterator[tuple[str, Event]]:
    own = {
        "account_id": account_id,
        "session_id": f"{account_id}-s1",
        "client_id": account_id,
        "change_id": account_id,
        "claim_id": account_id,
        "kid": f"kid-{number}",
        "jti": f"jti-{number}",
    }
    streams = {
        "client": client_stream(account_id),
        "signing_key": SIGNING_KEYS,
        "identifier": stream("identifier", account_id),
    }
    for cls in sorted(CATALOGUE.values(), key=lambda cls: (cls.type, cls.rev)):
        if cls in KINDS:
            names = {field.name for field in fields(cls)} & own.keys()  # type: ignore[arg-type]  # every fact is a dataclass
            event = replace(example(cls), **{name: own[name] for name in names})  # type: ignore[type-var]  # as above
            yield streams.get(cls.type.partition(".")[0], account_stream(account_id)), event
