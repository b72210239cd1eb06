"""Valkey as a sink: which sessions live; which sessions, clients and client tokens were revoked lately.

An empty, older or foreign Valkey is built again from the log's beginning. Meanwhile it has no freshness mark,
so nobody believes it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from events.account import SessionRefreshed, SessionRevoked, SessionStarted, SessionStrengthened
from events.client import ClientDeleted, ClientTokenRevoked
from eventstore.chain import Head
from eventstore.facts import RecordedFact
from projectors.follower import Batch
from projectors.keep_going import OutrunError
from projectors.metrics import Metrics
from readmodels import valkey_keys as keys
from runtime.redis import Valkey, ValkeyUnavailableError

_LEAST_LIFE_MS = int((keys.LONGEST_ACCESS_TOKEN + keys.LEEWAY).total_seconds() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """`until` is when no token that this concerns can be valid any more."""

    key: str
    kind: str
    id: str
    position: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStep:
    """What a fact does to a live session: `fields` are the hash's members that it sets.

    `deadline` is when it ends unless something else comes; a change leaves that as it is.
    """

    key: str
    verb: Literal["start", "refresh", "change", "end"]
    deadline: datetime
    fields: Mapping[str, str | int]


class ValkeyV1:
    name = "valkey_v1"
    handles = frozenset(
        {
            SessionStarted,
            SessionRefreshed,
            SessionStrengthened,
            SessionRevoked,
            ClientTokenRevoked,
            ClientDeleted,
        }
    )

    def __init__(self, valkey: Valkey, metrics: Metrics, *, partitions: int) -> None:
        self._valkey = valkey
        self._metrics = metrics
        self._checkpoints = [keys.checkpoint(number) for number in range(partitions)]
        self._reset = valkey.script(keys.RESET)
        self._read = valkey.script(keys.READ)
        self._apply = valkey.script(keys.APPLY)
        self._mark = valkey.script(keys.MARK)
        self._now = valkey.script(keys.NOW)
        self._known: dict[int, Head] = {}
        self._fresh: set[int] = set()
        self._log_id = ""

    async def open(self, partition: int, log_id: str) -> Head:
        policy = await self._valkey.memory_policy()
        if policy != "noeviction":
            raise ValkeyUnavailableError(
                f"Valkey: maxmemory-policy {policy} could forget revocations; set noeviction"
            )
        self._log_id = log_id
        self._fresh.discard(partition)
        await self._reset([keys.LOG, keys.FRESH, keys.STREAM, *self._checkpoints], [log_id])
        self._known[partition] = await self._stored(partition)
        return self._known[partition]

    async def apply(self, partition: int, batch: Batch) -> None:
        """While the partition follows the end, entries live a token's whole life by the store's own clock."""
        known, head = self._known[partition], batch.head
        facts = [fact for commit in batch.commits for fact in commit.facts]
        revocations = list(_revocations(facts))
        steps = list(_session_steps(facts, self._log_id))
        applied = await self._apply(
            [
                *(keys.LOG, self._checkpoints[partition], keys.STREAM),
                *(one.key for one in revocations),
                *(one.key for one in steps),
            ],
            [
                self._log_id,
                *(known.seq, known.hash, known.next_offset),
                *(head.seq, head.hash, head.next_offset),
                _LEAST_LIFE_MS if partition in self._fresh else 0,
                *(keys.STREAM_ENTRIES, len(revocations)),
                *(value for one in revocations for value in _values(one)),
                *(value for one in steps for value in _step_values(one)),
            ],
        )
        if not applied:
            raise OutrunError
        self._known[partition] = head
        self._metrics.events.labels(self.name).inc(len(facts))

    async def set_aside(self, partition: int, batch: Batch) -> None:
        """Nothing is parked here: a revocation that is not shown must not look like none."""
        await self.apply(partition, batch)

    async def confirm(self, partition: int) -> None:
        if await self._stored(partition) != self._known[partition]:
            raise OutrunError

    async def ask_time(self) -> datetime:
        return datetime.fromtimestamp(int(await self._now([], [])) / 1000, tz=UTC)

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        if not self._known:
            return set()
        marked = await self._mark(
            [keys.LOG, keys.FRESH, *(self._checkpoints[number] for number in ends)],
            [
                self._log_id,
                _milliseconds(asked_at),
                *(value for number_and_end in ends.items() for value in number_and_end),
            ],
        )
        reached = {int(number) for number in marked}
        self._fresh |= reached
        return reached

    async def _stored(self, partition: int) -> Head:
        stored_keys = [keys.LOG, self._checkpoints[partition], keys.FRESH]
        found = await self._read(stored_keys, [self._log_id, partition])
        if not found:
            return Head()
        return Head(seq=int(found[0]), hash=str(found[1]), next_offset=int(found[2]))


def _revocations(facts: list[RecordedFact]) -> Iterator[Revocation]:
    for fact in facts:
        position = str(fact.position)
        match fact.event:
            case SessionRevoked(session_id=session_id):
                yield Revocation(
                    key=keys.revoked_session(session_id),
                    kind="session",
                    id=session_id,
                    position=position,
                    until=fact.at + keys.LONGEST_ACCESS_TOKEN + keys.LEEWAY,
                )
            case ClientDeleted():
                client_id = fact.stream.removeprefix("client-")
                yield Revocation(
                    key=keys.revoked_client(client_id),
                    kind="client",
                    id=client_id,
                    position=position,
                    until=fact.at + keys.LONGEST_ACCESS_TOKEN + keys.LEEWAY,
                )
            case ClientTokenRevoked(jti=jti, expires_at=expires_at):
                yield Revocation(
                    key=keys.revoked_jti(jti),
                    kind="jti",
                    id=jti,
                    position=position,
                    until=expires_at + keys.LEEWAY,
                )


def _session_steps(facts: list[RecordedFact], log_id: str) -> Iterator[SessionStep]:
    for fact in facts:
        match fact.event:
            case SessionStarted() as event:
                yield SessionStep(
                    key=keys.live_session(log_id, event.session_id),
                    verb="start",
                    deadline=event.idle_expires_at,
                    fields=_started_fields(fact, event),
                )
            case SessionRefreshed() as event:
                yield SessionStep(
                    key=keys.live_session(log_id, event.session_id),
                    verb="refresh",
                    deadline=event.idle_expires_at,
                    fields={
                        "generation": event.generation,
                        "seen_ms": _milliseconds(event.refreshed_at),
                        "idle_ms": _milliseconds(event.idle_expires_at),
                    },
                )
            case SessionStrengthened() as event:
                yield SessionStep(
                    key=keys.live_session(log_id, event.session_id),
                    verb="change",
                    deadline=fact.at,
                    fields={"amr": " ".join(event.amr), "acr": event.acr},
                )
            case SessionRevoked(session_id=session_id):
                key = keys.live_session(log_id, session_id)
                yield SessionStep(key=key, verb="end", deadline=fact.at, fields={})


def _started_fields(fact: RecordedFact, event: SessionStarted) -> Mapping[str, str | int]:
    return {
        "account_id": fact.stream.removeprefix("account-"),
        "client_id": event.client_id,
        "scope": event.scope,
        "amr": " ".join(event.amr),
        "acr": event.acr,
        "generation": 1,
        "seen_ms": _milliseconds(event.started_at),
        "idle_ms": _milliseconds(event.idle_expires_at),
        "expires_ms": _milliseconds(event.expires_at),
    }


def _step_values(step: SessionStep) -> tuple[str | int, ...]:
    flat = [str(part) for field in step.fields.items() for part in field]
    return (step.verb, _milliseconds(step.deadline), json.dumps(flat))


def _values(revocation: Revocation) -> tuple[str | int, ...]:
    return (revocation.kind, revocation.id, revocation.position, _milliseconds(revocation.until))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
