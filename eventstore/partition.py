"""The decision state of one partition: the chain's head, and every stream folded up to it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from domain.aggregate import AnyAggregate
from events.codec import MalformedEventError, UnknownEventError
from events.fact import Event
from events.streams import category_of
from eventstore.chain import ChainReader, Counted
from eventstore.commit import Commit, Position, Record
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact, open_commit
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.sealing import UnsealError

_READ_WAIT_SECONDS = 0.5
_SILENT_READS = 20


class Partition:
    """`is_certain` is False before the first read, and while an append's fate is not read yet."""

    def __init__(
        self, number: int, log: Log, keyring: Keyring, aggregates: Mapping[str, AnyAggregate]
    ) -> None:
        self.number = number
        self.lock = asyncio.Lock()
        self.is_certain = False
        self.waiting = 0
        self.halted: CorruptLogError | None = None
        """Set for good once the log broke its rules here: nothing is decided on a state that may be wrong."""
        self.last_at = datetime.min.replace(tzinfo=UTC)
        self._log = log
        self._keyring = keyring
        self._aggregates = aggregates
        self._chain = ChainReader(number, log.partitions)
        self._states: dict[str, Any] = {}
        self._versions: dict[str, int] = {}
        self._passing: deque[tuple[datetime, str, int]] = deque()
        """States that will be forgotten, by when: (forget at, stream, version that this is about)."""

    @property
    def next_offset(self) -> int:
        return self._chain.head.next_offset

    @property
    def head_hash(self) -> str:
        return self._chain.head.hash

    @property
    def position(self) -> Position:
        return Position(partition=self.number, seq=self._chain.head.seq)

    @property
    def void_records(self) -> int:
        return self._chain.void_records

    def state(self, stream: str) -> Any:
        return self._states.get(stream, self._aggregate(stream).initial)

    def version(self, stream: str) -> int:
        return self._versions.get(stream, 0)

    def decide(self, stream: str, state: Any, command: Any) -> tuple[Event, ...]:
        return self._aggregate(stream).decide(state, command)

    def evolve(self, stream: str, state: Any, event: Event) -> Any:
        return self._aggregate(stream).evolve(state, event)

    async def catch_up(self) -> tuple[Counted, ...]:
        """Read the log to its present end; the commits that were new. Afterwards the state is certain."""
        self.require_running()
        try:
            return await self._read_to_end()
        except CorruptLogError as error:
            self.halted = error
            raise

    def require_running(self) -> None:
        if self.halted is not None:
            raise CorruptLogError(self.number, self.halted.offset, self.halted.reason)

    def halt(self, offset: int, reason: str) -> NoReturn:
        self.halted = CorruptLogError(self.number, offset, reason)
        raise self.halted

    async def _read_to_end(self) -> tuple[Counted, ...]:
        end = await self._log.end(self.number)
        if end < self.next_offset:
            raise CorruptLogError(
                self.number, end, f"the log ends before offset {self.next_offset}, read before"
            )
        new: list[Counted] = []
        silent_reads = 0
        while self.next_offset < end:
            records = await self._log.read(self.number, self.next_offset, wait_seconds=_READ_WAIT_SECONDS)
            for record in records:
                counted = await self._admit(record)
                if counted is not None:
                    new.append(counted)
            silent_reads = 0 if records else silent_reads + 1
            if silent_reads > _SILENT_READS:
                raise UnavailableError(f"partition {self.number} cannot be read to its end")
        if self._chain.head.seq < 0:
            raise UnavailableError(f"partition {self.number} has no genesis yet; run `chancery provision`")
        self.is_certain = True
        return tuple(new)

    def apply_own(self, record: Record, commit: Commit, record_hash: str, facts: list[RecordedFact]) -> None:
        """Advance over a commit of this process that the log acknowledged at exactly the next offset."""
        self._chain.extend_with(record, commit, record_hash)
        for fact in facts:
            self._fold(record.offset, fact)

    async def _admit(self, record: Record) -> Counted | None:
        before = self._chain.head
        counted = self._chain.admit(record)
        if counted is None:
            return None
        try:
            facts = await open_commit(self._keyring, counted)
        except (UnsealError, UnknownEventError, MalformedEventError) as error:
            self._chain.head = before
            raise CorruptLogError(self.number, record.offset, str(error)) from None
        except BaseException:
            self._chain.head = before
            raise
        for fact in facts:
            self._fold(record.offset, fact)
        return counted

    def _fold(self, offset: int, fact: RecordedFact) -> None:
        stream = fact.stream
        if fact.version != self.version(stream) + 1:
            raise CorruptLogError(self.number, offset, f"event {fact.version} after {self.version(stream)}")
        self._states[stream] = self.evolve(stream, self.state(stream), fact.event)
        self._versions[stream] = fact.version
        self.last_at = max(self.last_at, fact.at)
        kept_for = self._aggregate(stream).kept_for
        if kept_for is not None:
            self._passing.append((fact.at + kept_for, stream, fact.version))
        self._forget()

    def _forget(self) -> None:
        """Let go of states that no decision can depend on any more. Their versions stay."""
        while self._passing and self._passing[0][0] <= self.last_at:
            _, stream, version = self._passing.popleft()
            if self._versions[stream] == version:
                self._states.pop(stream, None)

    def _aggregate(self, stream: str) -> AnyAggregate:
        return self._aggregates[category_of(stream)]
