"""Follows one partition of the log: every commit that counts, in order, opened as far as it is of interest.

A record that cannot be read is never skipped: what stands before it is handed out first, then it raises.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from events.codec import CATALOGUE, MalformedEventError, UnknownEventError, unknown
from events.fact import Event
from events.streams import CATEGORIES, category_of
from eventstore.chain import ChainReader, Counted, Head
from eventstore.commit import Record, SealedEvent, decode_commit
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact, open_commit, open_commits, read_commit
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.sealing import UnsealError

UNREADABLE = (MalformedEventError, UnknownEventError, UnsealError)
_GENESIS_WAIT_SECONDS = 1.0
_READ_AGAIN_SECONDS = 5.0


class OpenedCommit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit's facts of interest, and the head that a reader has after it."""

    facts: tuple[RecordedFact, ...]
    head: Head


class Batch(msgspec.Struct, frozen=True, kw_only=True):
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
        self._wanted = frozenset(named for named, cls in CATALOGUE.items() if cls in handles)
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
        admitted = self._admit(records)
        counted = [one.counted for one in admitted]
        try:
            opened = await self._facts(counted)
        except UNREADABLE:
            opened = await self._facts_before_a_bad_one(admitted)
        return tuple(
            [OpenedCommit(facts=facts, head=one.after) for one, facts in zip(admitted, opened, strict=False)]
        )

    def _admit(self, records: Sequence[Record]) -> list["_Admitted"]:
        """The commits that count, up to the first record that is none."""
        admitted = []
        for number, record in enumerate(records):
            before = self.head
            try:
                counted = self._chain.admit(record)
                if counted is not None:
                    _require_known(counted)
            except CorruptLogError:
                self._chain.head = before
                if number == 0:
                    raise
                break
            if counted is not None:
                admitted.append(_Admitted(number, counted, before, self.head))
        return admitted

    async def _facts(self, commits: Sequence[Counted]) -> Sequence[tuple[RecordedFact, ...]]:
        if self._keyring is None:
            return [read_commit(counted, self._is_wanted) for counted in commits]
        return await open_commits(self._keyring, commits, self._is_wanted)

    async def _facts_before_a_bad_one(
        self, admitted: Sequence["_Admitted"]
    ) -> list[tuple[RecordedFact, ...]]:
        opened: list[tuple[RecordedFact, ...]] = []
        for one in admitted:
            try:
                opened += await self._facts([one.counted])
            except UNREADABLE as error:
                self._chain.head = one.before
                if one.number == 0:
                    position = one.counted.position
                    raise CorruptLogError(position.partition, one.counted.offset, str(error)) from None
                break
        return opened

    def _is_wanted(self, event: SealedEvent) -> bool:
        return (event.type, event.rev) in self._wanted


class _Admitted(NamedTuple):
    """A commit that counts, the place of its record among those that were read, and the heads around it."""

    number: int
    counted: Counted
    before: Head
    after: Head


def _require_known(counted: Counted) -> None:
    for event in counted.commit.events:
        if (event.type, event.rev) not in CATALOGUE:
            raise CorruptLogError(counted.position.partition, counted.offset, unknown(event.type, event.rev))
        if category_of(event.stream) not in CATEGORIES:
            raise CorruptLogError(
                counted.position.partition, counted.offset, "a stream of an unknown category"
            )


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
