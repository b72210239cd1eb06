"""Commands become commits: decide on the folded state, append, and acknowledge only what is known to count.

One commit at a time per partition. An acknowledgement with exactly the expected offset means that nobody
came between. Any other outcome is unknown: the log is read to its end and the commit looked for; if it is
not there, the decision is taken again on the new state under the same id. It is never guessed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from domain.aggregate import AnyAggregate
from domain.refusals import Refusal
from events.fact import Event
from events.streams import partition_of
from eventstore.commit import Actor, Commit, Position, Record, encode, hash_record, new_commit_id
from eventstore.errors import (
    AppendUnknownError,
    CorruptLogError,
    OutcomeUnknownError,
    OverloadedError,
    StaleBasisError,
    UnavailableError,
)
from eventstore.facts import RecordedFact, seal_events
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.partition import Partition
from runtime.clock import Clock

R = TypeVar("R")

_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a commit says about where it comes from. A commit id is set where a request may be repeated."""

    actor: Actor
    trace: str = ""
    commit_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[R]):
    """What the decision answered, and the position that it stands at or was based on."""

    reply: R
    position: Position


class Draft:
    """What a decision sees (its partition, folded to one head) and what it says (events, not stored yet)."""

    def __init__(self, partition: Partition, at: datetime) -> None:
        self._partition = partition
        self._states: dict[str, Any] = {}
        self.events: list[tuple[str, int, Event]] = []
        self.at = at

    @property
    def position(self) -> Position:
        """Where the decision will stand: the next commit's place, or the head's if it changes nothing."""
        head = self._partition.position
        return Position(partition=head.partition, seq=head.seq + 1) if self.events else head

    def state(self, stream: str) -> Any:
        return self._states[stream] if stream in self._states else self._partition.state(stream)

    def decide(self, stream: str, command: Any) -> tuple[Event, ...]:
        """Let the stream's aggregate decide; its events join the commit and are folded at once."""
        state = self.state(stream)
        events = self._partition.decide(stream, state, command)
        for event in events:
            version = self._partition.version(stream) + 1 + sum(1 for s, _, _ in self.events if s == stream)
            self.events.append((stream, version, event))
            state = self._partition.evolve(stream, state, event)
        self._states[stream] = state
        return events

    def discard(self) -> None:
        """Take back everything said so far."""
        self.events.clear()
        self._states.clear()


Decide = Callable[[Draft], R]


class Writer:
    """Takes commands for every partition. Any number of writers may run at once; the chain decides."""

    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        aggregates: Mapping[str, AnyAggregate],
        *,
        clock: Clock,
        deadline_seconds: float,
        max_waiting: int = 256,
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._max_waiting = max_waiting
        self._partitions = [Partition(n, log, keyring, aggregates) for n in range(log.partitions)]
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def void_records(self) -> int:
        return sum(partition.void_records for partition in self._partitions)

    async def catch_up(self) -> Mapping[int, str]:
        """Read every partition to its present end; the reasons of those that are halted, by partition."""
        halted: dict[int, str] = {}
        for partition in self._partitions:
            async with partition.lock:
                try:
                    await partition.catch_up()
                except CorruptLogError as error:
                    halted[partition.number] = error.reason
        return halted

    async def close(self) -> None:
        """Wait for the commands that were accepted; each of them ends by its own deadline."""
        if self._running:
            await asyncio.wait(self._running, timeout=2 * self._deadline_seconds)

    def state(self, stream: str) -> Any:
        """The stream as this process last saw it. Good for preparing a decision, not for taking one."""
        return self._partition(stream).state(stream)

    async def transact(self, stream: str, decide: Decide[R], origin: Origin) -> Done[R]:
        """Run `decide` on the partition of `stream` and store what it says as one commit.

        `decide` must be free of effects: it runs again whenever somebody else came between. A caller that
        goes away does not stop a command that was accepted.
        """
        task = asyncio.get_running_loop().create_task(self._transact(self._partition(stream), decide, origin))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _transact(self, partition: Partition, decide: Decide[R], origin: Origin) -> Done[R]:
        if partition.waiting >= self._max_waiting:
            raise OverloadedError(f"{partition.waiting} commands wait for partition {partition.number}")
        attempt: _Attempt[R] = _Attempt(self._log, self._keyring, self._clock, partition, origin)
        partition.waiting += 1
        try:
            async with asyncio.timeout(self._deadline_seconds), partition.lock:
                return await attempt.run(decide)
        except TimeoutError:
            raise attempt.out_of_time() from None
        finally:
            partition.waiting -= 1

    def _partition(self, stream: str) -> Partition:
        return self._partitions[partition_of(stream, len(self._partitions))]


class _Attempt(Generic[R]):
    """One command on its way into the log, holding its partition's lock."""

    def __init__(
        self, log: Log, keyring: Keyring, clock: Clock, partition: Partition, origin: Origin
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._clock = clock
        self._partition = partition
        self._origin = origin
        self._commit_id = origin.commit_id or new_commit_id(clock())
        self._sent: dict[str, R] = {}
        """The answer that goes with each record that was sent, by the record's hash."""

    def out_of_time(self) -> Exception:
        if self._sent:
            return OutcomeUnknownError("the log did not tell in time; repeat with the same Idempotency-Key")
        return UnavailableError("the log did not answer in time")

    async def run(self, decide: Decide[R]) -> Done[R]:
        self._partition.require_running()
        while True:
            if not self._partition.is_certain:
                done = await self._resolve()
                if done is not None:
                    return done
                continue
            draft = Draft(self._partition, max(self._clock(), self._partition.last_at))
            outcome = _decided(decide, draft)
            if isinstance(outcome, _Answered) and draft.events:
                done = await self._append(draft, outcome.reply)
            else:
                done = await self._confirm(outcome)
            if done is not None:
                return done

    async def _confirm(self, outcome: "_Outcome[R]") -> Done[R] | None:
        """An answer without an append may be given only if the log has nothing that we did not see."""
        if await self._partition.catch_up():
            return None
        if isinstance(outcome, _Answered):
            return Done(reply=outcome.reply, position=self._partition.position)
        raise outcome

    async def _append(self, draft: Draft, reply: R) -> Done[R] | None:
        partition = self._partition
        key = draft.events[0][0].encode()
        sealed = await seal_events(self._keyring, draft.events, draft.at)
        commit = Commit(
            v=1,
            seq=partition.position.seq + 1,
            prev=partition.head_hash,
            commit=self._commit_id,
            at=draft.at,
            actor=self._origin.actor,
            trace=self._origin.trace,
            events=sealed,
        )
        value = encode(commit)
        record_hash = hash_record(key, value)
        self._sent[record_hash] = reply
        partition.is_certain = False
        try:
            offset = await self._log.append(partition.number, key, value)
        except AppendUnknownError:
            return None
        if 0 <= offset < partition.next_offset:
            partition.halt(
                offset, f"the log wrote before offset {partition.next_offset}, which was read before"
            )
        if offset != partition.next_offset:
            return None
        record = Record(partition=partition.number, offset=offset, key=key, value=value)
        partition.apply_own(record, commit, record_hash, _facts(draft))
        partition.is_certain = True
        return Done(reply=reply, position=partition.position)

    async def _resolve(self) -> Done[R] | None:
        """Read what happened; the answer if one of our records counts, None to decide again."""
        try:
            new = await self._partition.catch_up()
        except UnavailableError:
            if not self._sent:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
            return None
        for counted in new:
            if counted.hash in self._sent:
                return Done(reply=self._sent[counted.hash], position=counted.position)
        return None


@dataclass(frozen=True, slots=True)
class _Answered(Generic[R]):
    reply: R


_Outcome = _Answered[R] | Refusal | StaleBasisError


def _decided(decide: Decide[R], draft: Draft) -> _Outcome[R]:
    try:
        return _Answered(decide(draft))
    except (Refusal, StaleBasisError) as negative:
        return negative


def _facts(draft: Draft) -> list[RecordedFact]:
    return [
        RecordedFact(stream=stream, version=version, event=event, at=draft.at, position=draft.position)
        for stream, version, event in draft.events
    ]
