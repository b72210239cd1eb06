"""Follows one partition of the log: every commit that counts, in order, opened as far as it is of interest.

A record that cannot be read is never skipped: what stands before it is handed out first, then it raises.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from events.codec import CATALOGUE, MalformedEventError, UnknownEventError
from events.fact import Event
from eventstore.chain import ChainReader, Counted, Head
from eventstore.commit import Record, SealedEvent
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact, open_commit
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.sealing import UnsealError

_GENESIS_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCommit:
    """A commit's facts of interest, and the head that a reader has after it."""

    facts: tuple[RecordedFact, ...]
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Commits in order, and the head after them. Void records may follow the last commit."""

    commits: tuple[OpenedCommit, ...]
    head: Head

    def split(self) -> tuple["Batch", ...]:
        """One batch for each commit; what is void after the last one is left to be read again."""
        return tuple(Batch(commits=(commit,), head=commit.head) for commit in self.commits)


class Follower:
    """`handles` says which facts are opened; those of other types must be known, and are passed over."""

    def __init__(
        self, log: Log, keyring: Keyring, partition: int, head: Head, handles: frozenset[type[Event]]
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._handles = handles
        self._chain = ChainReader(partition, log.partitions, head)

    @property
    def head(self) -> Head:
        return self._chain.head

    async def next(self, *, wait_seconds: float) -> Batch | None:
        """The next batch, None if nothing came within the wait.

        Raises CorruptLogError where the partition must halt, UnavailableError where reading may be tried
        again; nothing is lost then.
        """
        before = self.head
        partition = self._chain.partition
        records = await self._log.read(partition, before.next_offset, wait_seconds=wait_seconds)
        if not records:
            return None
        try:
            commits = await self._open(records)
        except BaseException:
            self._chain.head = before
            raise
        return Batch(commits=commits, head=self.head)

    async def _open(self, records: Sequence[Record]) -> tuple[OpenedCommit, ...]:
        """Open as many as can be read; a bad one raises only if it is the first."""
        commits: list[OpenedCommit] = []
        for number, record in enumerate(records):
            before = self.head
            try:
                counted = self._chain.admit(record)
                facts = () if counted is None else await self._facts(counted)
            except CorruptLogError:
                self._chain.head = before
                if number == 0:
                    raise
                break
            if counted is not None:
                commits.append(OpenedCommit(facts=facts, head=self.head))
        return tuple(commits)

    async def _facts(self, counted: Counted) -> tuple[RecordedFact, ...]:
        commit = counted.commit
        wanted = tuple(event for event in commit.events if self._is_wanted(counted, event))
        if not wanted:
            return ()
        part = replace(counted, commit=msgspec.structs.replace(commit, events=wanted))
        try:
            return await open_commit(self._keyring, part)
        except (MalformedEventError, UnknownEventError, UnsealError) as error:
            raise CorruptLogError(counted.position.partition, counted.offset, str(error)) from None

    def _is_wanted(self, counted: Counted, event: SealedEvent) -> bool:
        cls = CATALOGUE.get((event.type, event.rev))
        if cls is None:
            reason = f"unknown event {event.type} rev {event.rev}"
            raise CorruptLogError(counted.position.partition, counted.offset, reason)
        return cls in self._handles


async def read_log_id(log: Log, partition: int) -> str:
    """The id that the partition's genesis gives the log. UnavailableError while it has none."""
    chain = ChainReader(partition, log.partitions)
    end = await log.end(partition)
    while chain.head.next_offset < end and chain.log_id is None:
        records = await log.read(partition, chain.head.next_offset, wait_seconds=_GENESIS_WAIT_SECONDS)
        for record in records:
            chain.admit(record)
            if chain.log_id is not None:
                return chain.log_id
        if not records:
            raise UnavailableError(f"partition {partition} cannot be read")
    raise UnavailableError(f"partition {partition} has no genesis yet; run `chancery provision`")
