"""The proof of one partition: every record from the first to the last, each judged by the chain and by itself.

Law: a record that does not count must say why. It lost a race or is a copy if it names a record before it as
its predecessor; if it names one that the log does not have, then somebody changed, dropped or moved that one.
Writers send on before they are answered, so a few records may go on from a void one; if many do, then the void
one counted once, and somebody put another in its place.
What a chain cannot show is a missing tail: compare with a head that was saved elsewhere (`expected`).

Memory: 16 bytes for each commit; with `is_thorough` 8 more, and about 100 bytes for each stream. Ids and
streams are told apart by 64 bits, of which two among a hundred million are alike once in 3,000 logs.
"""

import base64
import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import NoReturn

import msgspec

from events.codec import without_values
from events.streams import SLOTS, partition_of
from eventstore.chain import MAX_VOID_RUN
from eventstore.commit import FORMAT_VERSION, HASH_DOMAIN, Actor

MOST_PIPELINED = 1024
"""More commits than any writer ever sends before it knows that the first of them counts."""
_PARTS = 256
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """As `SealedEvent`, without looking into the data."""

    stream: str
    version: int
    type: str
    rev: int
    data: msgspec.Raw
    sealed: str = ""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A commit or a genesis. What only one of them has is empty in the other."""

    v: int
    seq: int
    prev: str
    at: datetime
    commit: str = ""
    actor: Actor | None = None
    trace: str = ""
    events: tuple[_Event, ...] = ()
    log: str = ""
    partition: int = -1
    partitions: int = -1
    slots: int = -1


_DECODER = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHead:
    """A head that an earlier verification reported."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first place where the log is not what it was when it was written."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReport:
    """`void` counts records by why they do not count.

    `copy`: the same bytes count before it. `tried again`: its commit id counts, in another record. `lost a
    race`: another record took its place. `after a void one`: sent before it was known. `second genesis`.
    """

    partition: int
    log_id: str
    seq: int
    hash: str
    records: int
    commits: int
    events: int
    void: dict[str, int]
    broken: Broken | None


@dataclass(frozen=True, slots=True)
class _Void:
    """A void record that waits for its explanation: the seq that it claimed and the head that it met."""

    offset: int
    seq: int
    prev: int
    commit: int
    head_seq: int


class BrokenLogError(Exception):
    """Nothing after this place can be judged."""


@dataclass(slots=True, kw_only=True)
class PartitionCheck:
    """Feed it every record in order, then ask for its report. `is_thorough` checks streams and commit ids too."""

    partition: int
    partitions: int
    expected: SavedHead | None = None
    is_thorough: bool = True
    most_pipelined: int = MOST_PIPELINED
    _seq: int = -1
    _hash: str = ""
    _next_offset: int = 0
    _at: datetime = _EARLIEST
    _log_id: str = ""
    _events: int = 0
    _void_run: int = 0
    _broken: Broken | None = None
    _hashes: "array[int]" = field(default_factory=lambda: array("Q"))
    _commits: "array[int]" = field(default_factory=lambda: array("q"))
    _versions: dict[int, int] = field(default_factory=dict)
    _voids: list[_Void] = field(default_factory=list)
    _void_offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    _void_chains: dict[int, tuple[int, int]] = field(default_factory=dict)
    """How many records lead from a void one to this one, and the offset of the first after it, by hash."""
    _causes: Counter[str] = field(default_factory=Counter)

    def feed(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """BrokenLogError where reading must end."""
        if offset != self._next_offset:
            self._stop(offset, f"expected offset {self._next_offset}; records between are missing")
        self._next_offset = offset + 1
        if key is None or value is None:
            self._stop(offset, "a record without key or value")
        try:
            entry = _DECODER.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._stop(offset, f"not a record of Chancery: {without_values(error)}")
        if entry.v != FORMAT_VERSION:
            self._stop(offset, f"format version {entry.v}")
        digest = hashlib.sha256(HASH_DOMAIN + len(key).to_bytes(4, "big") + key + value).digest()
        if entry.seq == self._seq + 1 and entry.prev == self._hash:
            self._extend(offset, key, entry, digest)
        else:
            self._void(offset, entry, digest)

    def report(self) -> PartitionReport:
        """After the last record. Explains the void ones, which may refer to anything before them."""
        self._explain_voids()
        if self.is_thorough:
            self._check_commit_ids()
        self._check_end()
        return PartitionReport(
            partition=self.partition,
            log_id=self._log_id,
            seq=self._seq,
            hash=self._hash,
            records=self._next_offset,
            commits=max(self._seq, 0),
            events=self._events,
            void=dict(sorted(self._causes.items())),
            broken=self._broken,
        )

    def _extend(self, offset: int, key: bytes, entry: _Entry, digest: bytes) -> None:
        self._seq += 1
        self._hash = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._void_run = 0
        self._hashes.append(int.from_bytes(digest[:8], "big"))
        if self._seq == 0:
            self._check_genesis(offset, entry)
        else:
            self._check_commit(offset, key, entry)
        if self.expected is not None and self.expected.seq == self._seq and self.expected.hash != self._hash:
            self.note(offset, f"commit {self._seq} is not the one that was saved")

    def _check_genesis(self, offset: int, entry: _Entry) -> None:
        self._log_id = entry.log
        placed = (entry.partition, entry.partitions, entry.slots)
        if not entry.log or placed != (self.partition, self.partitions, SLOTS):
            self._stop(offset, "not the genesis of this partition")
        self._at = entry.at

    def _check_commit(self, offset: int, key: bytes, entry: _Entry) -> None:
        if not entry.commit or not entry.events or entry.actor is None:
            self._stop(offset, "neither a commit nor a genesis")
        if entry.at < self._at:
            self.note(offset, f"time runs backwards, from {self._at} to {entry.at}")
        self._at = entry.at
        if key != entry.events[0].stream.encode():
            self.note(offset, "the key is not the stream of the first event")
        self._events += len(entry.events)
        for event in entry.events:
            self._check_event(offset, event)
        self._commits.append(hash(entry.commit))

    def _check_event(self, offset: int, event: _Event) -> None:
        try:
            is_here = partition_of(event.stream, self.partitions) == self.partition
        except ValueError:
            is_here = False
        if not is_here:
            self.note(offset, f"stream {event.stream} does not live in this partition")
        if self.is_thorough:
            stream = hash(event.stream)
            last = self._versions.get(stream, 0)
            if event.version != last + 1:
                self.note(offset, f"version {event.version} of {event.stream} after {last}")
            self._versions[stream] = event.version

    def _void(self, offset: int, entry: _Entry, digest: bytes) -> None:
        self._void_run += 1
        self._void_offsets.append(offset)
        own, prev = int.from_bytes(digest[:8], "big"), _word(entry.prev)
        if entry.log:
            self._causes["second genesis"] += 1
        elif 0 < entry.seq <= self._seq and self._hashes[entry.seq] == own:
            self._causes["copy"] += 1
        elif prev in self._void_chains:
            self._go_on(offset, own, *self._void_chains[prev])
        else:
            self._voids.append(_Void(offset, entry.seq, prev, hash(entry.commit), self._seq))
            self._void_chains.setdefault(own, (0, offset))
        if self._void_run > MAX_VOID_RUN:
            self._stop(offset, "the chain does not go on")

    def _go_on(self, offset: int, own: int, length: int, first: int) -> None:
        """From a void record, which is `length` records after the one that was void by itself."""
        self._causes["after a void one"] += 1
        chain = (length + 1, first if length else offset)
        self._void_chains.setdefault(own, chain)
        if chain[0] > self.most_pipelined:
            self.note(chain[1], f"{chain[0]} records go on from a void one: its place was taken")

    def _explain_voids(self) -> None:
        """The record before it must be in the log, before it, and of the seq before its own."""
        counted = {void.commit for void in self._voids}.intersection(self._commits if self._voids else ())
        for void in self._voids:
            is_in_log = 0 < void.seq <= void.head_seq and self._hashes[void.seq - 1] == void.prev
            if not is_in_log:
                self.note(void.offset, f"names a commit {void.seq - 1} before it that is not in the log")
            else:
                self._causes["tried again" if void.commit in counted else "lost a race"] += 1

    def _check_commit_ids(self) -> None:
        """Sorted by parts, because a set of them all would need ten times the room."""
        parts = [array("q") for _ in range(_PARTS)]
        for commit in self._commits:
            parts[commit % _PARTS].append(commit)
        twice = {one for part in parts for one, next_one in pairwise(sorted(part)) if one == next_one}
        seen = set()
        for number, commit in enumerate(self._commits if twice else (), start=1):
            if commit in twice and commit in seen:
                self.note(self._offset_of(number), f"commit {number} has the id of another that counts")
            seen |= {commit} & twice

    def _check_end(self) -> None:
        if self._seq < 0 and self._broken is None:
            self.note(0, "there is no genesis")
        if self.expected is not None and self._seq < self.expected.seq:
            self.note(self._next_offset, f"the log ends before commit {self.expected.seq}, which was saved")

    def _offset_of(self, seq: int) -> int:
        """Where a commit that counts stands: every void record before it moves it by one."""
        offset = seq
        for void in self._void_offsets:
            if void > offset:
                break
            offset += 1
        return offset

    def note(self, offset: int, reason: str) -> None:
        """Only the first place is kept, and of that the first reason."""
        if self._broken is None or offset < self._broken.offset:
            self._broken = Broken(offset=offset, reason=reason)

    def _stop(self, offset: int, reason: str) -> NoReturn:
        self.note(offset, reason)
        raise BrokenLogError(reason)


def _word(text: str) -> int:
    """The first eight bytes that a hash in base64url stands for."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "==")[:8], "big")
    except ValueError:
        return 0
