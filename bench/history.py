"""A log of people's lives, chained by hand: what readers of the log are measured on. No writer is part of it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from events.account import (
    AccountRegistered,
    EmailVerified,
    SessionRefreshed,
    SessionRevoked,
    SessionStarted,
)
from events.fact import Event
from events.streams import account_stream, new_id, partition_of
from eventstore.commit import Actor, Commit, encode, hash_record, new_commit_id
from eventstore.facts import seal_events
from eventstore.keyring import Keyring
from eventstore.log import Log
from runtime.clock import utc_now

PIPELINED = 500
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "c" * 22 + "$" + "h" * 43  # as long as a real one
_ACTOR = Actor(kind="system", id="bench")
_IDLE = timedelta(days=14)


@dataclass(slots=True)
class _End:
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Made:
    """A commit that is ready to be sent: after those that were made before it, to its partition."""

    partition: int
    seq: int
    key: bytes
    value: bytes


class History:
    """The only writer of a log that holds nothing but its geneses."""

    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._ends: dict[int, _End] = {}
        self._versions: Counter[str] = Counter()

    async def begin(self) -> None:
        for partition in range(self._log.partitions):
            genesis = (await self._log.read(partition, 0, wait_seconds=10))[0]
            assert genesis.key is not None
            assert genesis.value is not None
            self._ends[partition] = _End(0, hash_record(genesis.key, genesis.value))

    async def send(self, made: Made) -> "asyncio.Future[int]":
        """What resolves once it is acknowledged."""
        return await self._log.send(made.partition, made.key, made.value)

    def make(self, stream: str, *events: Event) -> Made:
        """One commit. The stream has its data key."""
        partition, now = partition_of(stream, self._log.partitions), utc_now()
        end, numbered = self._ends[partition], []
        for event in events:
            self._versions[stream] += 1
            numbered.append((stream, self._versions[stream], event))
        commit = Commit(
            v=1,
            seq=end.seq + 1,
            prev=end.hash,
            commit=new_commit_id(now),
            at=now,
            actor=_ACTOR,
            trace="",
            events=seal_events(self._keyring, numbered, now),
        )
        value = encode(commit)
        end.seq, end.hash = end.seq + 1, hash_record(stream.encode(), value)
        return Made(partition, end.seq, stream.encode(), value)

    async def prepare(self, stream: str) -> None:
        """Give a stream that is new its data key."""
        await self._keyring.create(stream)

    async def live(self, people: int, sessions: int) -> int:
        """So many people, each with so many sessions, refreshed twice and ended; how many events that makes."""
        waiting: list[asyncio.Future[int]] = []
        events = 0
        for number in range(people):
            account_id = new_id(number % 1024)
            stream = account_stream(account_id)
            await self.prepare(stream)
            for commit in life_of(account_id, sessions, utc_now()):
                waiting.append(await self.send(self.make(stream, *commit)))
                events += len(commit)
            if len(waiting) > PIPELINED:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        return events


def life_of(account_id: str, sessions: int, now: datetime) -> Sequence[tuple[Event, ...]]:
    """The commits of one person."""
    commits: list[tuple[Event, ...]] = [(_registered(account_id, now),), (EmailVerified(challenge_id="c"),)]
    for number in range(sessions):
        session = f"{account_id}-{number}"
        commits.append((started(session, now),))
        commits += [(refreshed(session, generation, now),) for generation in (2, 3)]
        commits.append((SessionRevoked(session_id=session, cause="sign-out"),))
    return commits


def started(session_id: str, now: datetime) -> SessionStarted:
    return SessionStarted(
        session_id=session_id,
        client_id="chancery",
        scope="openid profile",
        amr=("pwd",),
        acr="aal1",
        started_at=now,
        idle_expires_at=now + _IDLE,
        expires_at=now + 6 * _IDLE,
        ip="203.0.113.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    )


def refreshed(session_id: str, generation: int, now: datetime) -> SessionRefreshed:
    return SessionRefreshed(
        session_id=session_id, generation=generation, refreshed_at=now, idle_expires_at=now + _IDLE
    )


def _registered(account_id: str, now: datetime) -> AccountRegistered:
    return AccountRegistered(
        account_id=account_id,
        identifier=f"identifier-{account_id}",
        policy="verify",
        challenge_id="c",
        code_expires_at=now,
        registered_at=now,
        email=f"{account_id}@example.com",
        display_name="Ada",
        password_hash=PASSWORD_HASH,
    )
