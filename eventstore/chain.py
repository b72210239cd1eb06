"""The one rule that decides what counts: a record counts if and only if it extends the chain.

`prev == head.hash and seq == head.seq + 1`. Anything else is void, for every reader, for ever. Everybody who
reads the log reads it through `ChainReader`: writer, projectors, mailer.
"""

import copy
from typing import Self

import msgspec

from events.codec import without_values
from events.streams import SLOTS, partition_of
from eventstore.commit import (
    FORMAT_VERSION,
    Commit,
    Genesis,
    Link,
    Position,
    Record,
    decode_commit,
    decode_genesis,
    decode_link,
    hash_record,
)
from eventstore.errors import CorruptLogError

MAX_VOID_RUN = 100_000
"""So many void records in a row mean that the chain was lost, not that writers raced."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The last record that counts and where to read on. `seq` is -1 before the genesis."""

    seq: int = -1
    hash: str = ""
    next_offset: int = 0


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that counts, where it stands, and its record's hash."""

    position: Position
    offset: int
    hash: str
    commit: Commit


class ChainReader:
    """Filters the commits that count out of one partition's records, from any head that was reached before."""

    def __init__(self, partition: int, partitions: int, head: Head | None = None) -> None:
        self.partition = partition
        self.partitions = partitions
        self.head = head or Head()
        self.head_offset = -1
        """The offset of the last record that counts, -1 as long as this reader has not seen one."""
        self.void_records = 0
        self._void_run = 0
        self.log_id: str | None = None

    def copy(self) -> Self:
        """A reader that stands where this one stands and goes its own way."""
        return copy.copy(self)

    def admit(self, record: Record) -> Counted | None:
        """The commit if `record` counts, None if it is void or the genesis. CorruptLogError halts."""
        if record.offset != self.head.next_offset:
            raise self._corrupt(record, f"expected offset {self.head.next_offset}")
        if record.key is None or record.value is None:
            raise self._corrupt(record, "a record without key or value")
        try:
            link = decode_link(record.value)
            if link.v != FORMAT_VERSION:
                raise self._corrupt(record, f"format version {link.v}")
            if link.seq != self.head.seq + 1 or link.prev != self.head.hash:
                self._void(record)
                return None
            return self._extend(record, record.key, record.value, link)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._corrupt(record, f"not a record of Chancery: {without_values(error)}") from None

    def extend_with(self, offset: int, seq: int, record_hash: str) -> None:
        """Advance over a record that the caller wrote itself and knows to extend the chain."""
        assert offset == self.head.next_offset
        assert seq == self.head.seq + 1
        self._advance(offset, seq, record_hash)

    def _extend(self, record: Record, key: bytes, value: bytes, link: Commit | Link) -> Counted | None:
        record_hash = hash_record(key, value)
        if self.head.seq == -1:
            genesis = decode_genesis(value)
            self._check_genesis(record, genesis)
            self.log_id = genesis.log
            self._advance(record.offset, 0, record_hash)
            return None
        commit = link if isinstance(link, Commit) else decode_commit(value)
        self._check_place(record, key, commit)
        self._advance(record.offset, commit.seq, record_hash)
        return self._counted(record, commit, record_hash)

    def _check_genesis(self, record: Record, genesis: Genesis) -> None:
        if (genesis.partition, genesis.partitions) != (self.partition, self.partitions):
            raise self._corrupt(record, "the genesis of another partition or partition count")
        if genesis.slots != SLOTS:
            raise self._corrupt(record, f"a log with {genesis.slots} slots")

    def _check_place(self, record: Record, key: bytes, commit: Commit) -> None:
        """Each stream has one partition, and there one order. What extends the chain elsewhere has none."""
        if not commit.events:
            raise self._corrupt(record, "a commit without events")
        if key != commit.events[0].stream.encode():
            raise self._corrupt(record, "the key is not the stream of the first event")
        for event in commit.events:
            if not self._lives_here(event.stream):
                raise self._corrupt(record, "an event of a stream that does not live in this partition")

    def _lives_here(self, stream: str) -> bool:
        try:
            return partition_of(stream, self.partitions) == self.partition
        except ValueError:
            return False

    def _counted(self, record: Record, commit: Commit, record_hash: str) -> Counted:
        position = Position(partition=self.partition, seq=commit.seq)
        return Counted(position=position, offset=record.offset, hash=record_hash, commit=commit)

    def _advance(self, offset: int, seq: int, record_hash: str) -> None:
        self.head = Head(seq=seq, hash=record_hash, next_offset=offset + 1)
        self.head_offset = offset
        self._void_run = 0

    def _void(self, record: Record) -> None:
        self.void_records += 1
        self._void_run += 1
        if self._void_run > MAX_VOID_RUN:
            raise self._corrupt(record, "the chain does not go on")
        head = self.head
        self.head = Head(seq=head.seq, hash=head.hash, next_offset=record.offset + 1)

    def _corrupt(self, record: Record, reason: str) -> CorruptLogError:
        return CorruptLogError(self.partition, record.offset, reason)
