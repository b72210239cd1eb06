"""Follows one partition of the log: every commit that counts, in order, opened as far as it is of interest.

A record that cannot be read is never skipped: what stands before it is handed out first, then it raises.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from events.codec import CATALOGUE, MalformedEventError, UnknownEventError
from events.fact import Event
from eventstore.chain import ChainReader, Counted, Head
from eventstore.commit import Record, SealedEvent, decode_commit
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact, open_commit, read_commit
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.sealing import UnsealError

_GENESIS_WAIT_SECONDS = 1.0
_READ_AGAIN_SECONDS = 5.0


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
        """One batch for each commit, and one without commits for what is void after the last one."""
        singles = tuple(Batch(commits=(commit,), head=commit.head) for commit in self.commits)
        if singles and singles[-1].head == self.head:
            return singles
        return (*singles, Batch(commits=(), head=self.head))


class Follower:
    """`handles` says which facts are opened; those of other types must be known, and are passed over.

    Without a keyring nothing that is sealed is opened: it reads as if it were erased.
    """

    def __init__(
        self, log: Log, keyring: Keyring | None, partition: int, head: Head, handles: frozenset[type[Event]]
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
        def is_wanted(event: SealedEvent) -> bool:
            cls = CATALOGUE.get((event.type, event.rev))
            if cls is None:
                reason = f"unknown event {event.type} rev {event.rev}"
                raise CorruptLogError(counted.position.partition, counted.offset, reason)
            return cls in self._handles

        try:
            if self._keyring is None:
                return read_commit(counted, is_wanted)
            return await open_commit(self._keyring, counted, is_wanted)
        except (MalformedEventError, UnknownEventError, UnsealError) as error:
            raise CorruptLogError(counted.position.partition, counted.offset, str(error)) from None


async def read_again(
    log: Log,
    keyring: Keyring,
    partition: int,
    offset: int,
    seq: int,
    handles: frozenset[type[Event]],
) -> tuple[RecordedFact, ...]:
    """The facts of these types of a commit that was found to count before.

    CorruptLogError if it is not the one that stood there.
    """
    records = await log.read(partition, offset, wait_seconds=_READ_AGAIN_SECONDS)
    if not records:
        raise UnavailableError(f"partition {partition}, offset {offset} cannot be read")
    record = records[0]
    if record.value is None:
        raise CorruptLogError(partition, offset, "a record without value")
    before = Head(seq=seq - 1, hash=decode_commit(record.value).prev, next_offset=offset)
    counted = ChainReader(partition, log.partitions, before).admit(record)
    if counted is None:
        raise CorruptLogError(partition, offset, f"not commit {seq}")
    await keyring.catch_up()
    try:
        return await open_commit(
            keyring, counted, lambda event: CATALOGUE.get((event.type, event.rev)) in handles
        )
    except (MalformedEventError, UnsealError) as error:
        raise CorruptLogError(partition, offset, str(error)) from None


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
