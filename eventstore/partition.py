"""The decision state of one partition: the chain's head, and every stream folded up to it.

Laws: what is in memory is the state at the head; what is not in memory did not change since the checkpoint.
So a row of the write model may be used if its checkpoint lies between ours and the head, and never otherwise.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import msgspec

from domain.aggregate import AnyAggregate
from events.codec import MalformedEventError, UnknownEventError
from events.streams import category_of
from eventstore.chain import ChainReader, Counted, Head
from eventstore.commit import Position, Record, hash_record
from eventstore.errors import BasisMovedError, CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact, open_commits, subject_of
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.sealing import UnsealError, key_id_of, seal_bytes, unseal_bytes
from eventstore.snapshots import Checkpoint, Guarded, Snapshot, Snapshots
from eventstore.state_codec import decode_state, encode_state, without_personal
from eventstore.stream_cache import Entry, StreamCache

READ_AHEAD = 2_000
"""So many unread records make it worth to ask whether somebody else has folded them already."""
MAX_CHANGED = 5_000
"""So many changed streams are saved before more of the log is read."""
_READ_WAIT_SECONDS = 0.5
_SILENT_READS = 20
_ROWS_AT_A_TIME = 100
_CANNOT_BE_OPENED = (UnsealError, UnknownEventError, MalformedEventError)
Notice = Callable[[Counted], None]
_BEGINNING = datetime.fromtimestamp(0, UTC)


class Partition:
    """Owned by one lane: only `load` and `flush` may run beside the lane's own calls."""

    def __init__(
        self,
        number: int,
        log: Log,
        keyring: Keyring,
        aggregates: Mapping[str, AnyAggregate],
        snapshots: Snapshots,
        *,
        cache_bytes: int,
    ) -> None:
        self.number = number
        self.halted: CorruptLogError | None = None
        """Set for good once the log broke its rules here: nothing is decided on a state that may be wrong."""
        self.last_at = _BEGINNING
        self.must_reload = True
        """True before the first read, and once the write model moved to where this memory cannot follow."""
        self._log = log
        self._keyring = keyring
        self._aggregates = aggregates
        self._snapshots = snapshots
        self._chain = ChainReader(number, log.partitions)
        self._cache = StreamCache(cache_bytes)
        self._checkpoint: Checkpoint | None = None
        self._flushing = asyncio.Lock()

    @property
    def head(self) -> Head:
        return self._chain.head

    @property
    def position(self) -> Position:
        return Position(partition=self.number, seq=self._chain.head.seq)

    @property
    def void_records(self) -> int:
        return self._chain.void_records

    @property
    def changed_streams(self) -> int:
        return len(self._cache.changed)

    @property
    def unsaved_commits(self) -> int:
        return self.head.seq - (self._checkpoint.seq if self._checkpoint else -1)

    def aggregate(self, stream: str) -> AnyAggregate:
        return self._aggregates[category_of(stream)]

    def entry(self, stream: str) -> Entry | None:
        """The stream at the head, or None if it is not in memory."""
        return self._cache.get(stream)

    def require_running(self) -> None:
        if self.halted is not None:
            raise CorruptLogError(self.number, self.halted.offset, self.halted.reason)

    def halt(self, offset: int, reason: str) -> NoReturn:
        self.halted = CorruptLogError(self.number, offset, reason)
        raise self.halted

    def extend(
        self, offset: int, seq: int, record_hash: str, at: datetime, changed: Mapping[str, Entry]
    ) -> None:
        """Advance over a commit of this process that the log acknowledged at exactly the next offset."""
        self._chain.extend_with(offset, seq, record_hash)
        self.last_at = max(self.last_at, at)
        for stream, entry in changed.items():
            self._cache.change(stream, entry)

    async def catch_up(self, notice: Notice | None = None) -> None:
        """Read the log to its present end. Afterwards the state is certain.

        `notice` hears of every commit that counts, also if this fails later on, and of those that others folded.
        """
        self.require_running()
        try:
            if self.must_reload:
                await self._adopt((await self._snapshots.load(self.number, ())).checkpoint, notice)
            await self._read_to_end(notice)
        except CorruptLogError as error:
            self.halted = error
            raise

    async def load(self, streams: Sequence[str]) -> None:
        """Bring streams into memory. BasisMovedError if the write model cannot tell them as of our head."""
        missing = [stream for stream in streams if stream not in self._cache]
        for stream, entry in (await self._stored(missing)).items():
            if stream not in self._cache:
                self._cache.keep(stream, entry)

    async def flush(self) -> None:
        """Save what changed, with the head as checkpoint, unless somebody else moved the checkpoint."""
        async with self._flushing:
            if self.must_reload or self.halted or self.unsaved_commits == 0:
                return
            before, after = self._checkpoint, self._checkpoint_now()
            changed = dict(self._cache.changed)
            rows = await self._rows(changed)
            if not await self._snapshots.save(self.number, before, after, rows):
                self._follow((await self._snapshots.load(self.number, ())).checkpoint, before)
                return
            self._checkpoint = after
            for row in rows:
                entry = changed[row.stream]
                self._cache.saved(row.stream, replace(entry, json_bytes=len(row.state)))

    def _checkpoint_now(self) -> Checkpoint:
        head = self._chain.head
        return Checkpoint(
            seq=head.seq,
            hash=head.hash,
            offset=self._chain.head_offset,
            next_offset=head.next_offset,
            last_at=self.last_at,
        )

    def _follow(self, found: Checkpoint | None, known: Checkpoint | None) -> None:
        """Take over the checkpoint that was found, if what we hold as changed still covers all since then.

        `known` is what ours was when it was asked for. Everything in memory stays right; BasisMovedError otherwise.
        """
        if found == self._checkpoint:
            return
        if self._checkpoint != known:
            raise BasisMovedError(f"partition {self.number}: read while it was saved")
        if found is None or found.seq > self.head.seq or (known is not None and found.seq < known.seq):
            self.must_reload = True
            raise BasisMovedError(f"partition {self.number}: the write model stands elsewhere")
        self._checkpoint = found

    async def _stored(self, streams: Sequence[str]) -> Mapping[str, Entry]:
        """The streams as the write model has them, as of our head; for streams that are not in memory."""
        if not streams:
            return {}
        if self.must_reload:
            raise BasisMovedError(f"partition {self.number}: not read yet")
        known = self._checkpoint
        guarded = await self._snapshots.load(self.number, streams)
        self._follow(guarded.checkpoint, known)
        followed = self._checkpoint
        entries = await self._entries(guarded, streams)
        if self._checkpoint != followed:
            raise BasisMovedError(f"partition {self.number}: opened while it was saved")
        return entries

    async def _adopt(self, checkpoint: Checkpoint | None, notice: Notice | None) -> None:
        """Begin again from the write model's checkpoint, or from the genesis if it has none.

        What is passed over is read all the same for somebody who looks for a commit of his.
        """
        async with self._flushing:
            head = None
            if checkpoint is not None:
                await self._require_in_log(checkpoint)
                head = Head(seq=checkpoint.seq, hash=checkpoint.hash, next_offset=checkpoint.next_offset)
                if notice is not None and self.head.seq >= 0:
                    await self._read_over(checkpoint, notice)
            void_records = self._chain.void_records
            self._chain = ChainReader(self.number, self._log.partitions, head)
            self._chain.void_records = void_records
            self._chain.head_offset = -1 if checkpoint is None else checkpoint.offset
            self._cache.clear()
            self._checkpoint = checkpoint
            self.last_at = _BEGINNING if checkpoint is None else checkpoint.last_at
            self.must_reload = False

    async def _read_over(self, checkpoint: Checkpoint, notice: Notice) -> None:
        """Tell of the commits from our head to the checkpoint, without folding them."""
        chain = self._chain.copy()
        while chain.head.next_offset < checkpoint.next_offset:
            wait = _READ_WAIT_SECONDS * _SILENT_READS
            records = await self._log.read(self.number, chain.head.next_offset, wait_seconds=wait)
            if not records:
                raise UnavailableError(
                    f"partition {self.number} cannot be read to the write model's checkpoint"
                )
            for record in records:
                counted = chain.admit(record)
                if counted is not None:
                    notice(counted)

    async def _require_in_log(self, checkpoint: Checkpoint) -> None:
        """A checkpoint of another log, or of records that the log has lost, is no ground to stand on."""
        end = await self._log.end(self.number, at_least=checkpoint.next_offset)
        found = None
        if checkpoint.next_offset <= end:
            wait = _READ_WAIT_SECONDS * _SILENT_READS
            records = await self._log.read(self.number, checkpoint.offset, wait_seconds=wait)
            if not records:
                raise UnavailableError(f"partition {self.number} cannot be read")
            found = hash_record(records[0].key or b"", records[0].value or b"")
        if found != checkpoint.hash:
            raise CorruptLogError(
                self.number,
                checkpoint.offset,
                f"the write model was folded up to {self.number}:{checkpoint.seq}, which this log does not hold: it "
                "was truncated or replaced. Restore it or, if it is meant to be so, drop schema write_model",
            )

    async def _read_to_end(self, notice: Notice | None) -> None:
        end = await self._log.end(self.number, at_least=self.head.next_offset)
        if end < self.head.next_offset:
            raise CorruptLogError(
                self.number, end, f"the log ends before offset {self.head.next_offset}, read before"
            )
        if end - self.head.next_offset > READ_AHEAD:
            await self._skip_ahead(notice)
        silent_reads = 0
        while self.head.next_offset < end:
            wait = _READ_WAIT_SECONDS
            records = await self._log.read(self.number, self.head.next_offset, wait_seconds=wait)
            await self._fold_up_to_what_is_wrong(records, notice)
            silent_reads = 0 if records else silent_reads + 1
            if silent_reads > _SILENT_READS:
                raise UnavailableError(f"partition {self.number} cannot be read to its end")
            if len(self._cache.changed) > MAX_CHANGED:
                await self.flush()
        if self.head.seq < 0:
            raise UnavailableError(f"partition {self.number} has no genesis yet; run `chancery provision`")

    async def _skip_ahead(self, notice: Notice | None) -> None:
        """Let somebody else's work count: begin at the write model's checkpoint if it is well ahead."""
        found = (await self._snapshots.load(self.number, ())).checkpoint
        if found is not None and found.next_offset > self.head.next_offset + READ_AHEAD:
            await self._adopt(found, notice)

    async def _fold_up_to_what_is_wrong(self, records: Sequence[Record], notice: Notice | None) -> None:
        try:
            await self._fold(records, notice)
        except CorruptLogError:
            for record in records:
                await self._fold((record,), notice)
            raise

    async def _fold(self, records: Sequence[Record], notice: Notice | None) -> None:
        """All of the records or none: nothing moves before everything that they need is at hand."""
        chain = self._chain.copy()
        counted = [found for record in records if (found := chain.admit(record)) is not None]
        for commit in counted:
            self._require_known(commit)
        streams = {event.stream for commit in counted for event in commit.commit.events}
        entries = {stream: entry for stream in streams if (entry := self._cache.get(stream)) is not None}
        entries.update(await self._stored([stream for stream in streams if stream not in entries]))
        opened = await self._opened(counted)
        changed: dict[str, Entry] = {}
        for commit, facts in zip(counted, opened, strict=True):
            for fact in facts:
                entry = self._folded(commit.offset, entries[fact.stream], fact)
                entries[fact.stream] = changed[fact.stream] = entry
                self.last_at = max(self.last_at, fact.at)
        self._chain = chain
        for stream, entry in changed.items():
            self._cache.change(stream, entry)
        if notice is not None:
            for commit in counted:
                notice(commit)

    def _require_known(self, counted: Counted) -> None:
        if any(category_of(event.stream) not in self._aggregates for event in counted.commit.events):
            raise CorruptLogError(self.number, counted.offset, "a stream of an unknown category")

    async def _opened(self, counted: Sequence[Counted]) -> Sequence[tuple[RecordedFact, ...]]:
        try:
            return await open_commits(self._keyring, counted)
        except _CANNOT_BE_OPENED:
            for commit in counted:
                try:
                    await open_commits(self._keyring, (commit,))
                except _CANNOT_BE_OPENED as error:
                    raise CorruptLogError(self.number, commit.offset, str(error)) from None
            raise

    def _folded(self, offset: int, entry: Entry, fact: RecordedFact) -> Entry:
        if fact.version != entry.version + 1:
            raise CorruptLogError(self.number, offset, f"event {fact.version} after {entry.version}")
        state = self.aggregate(fact.stream).evolve(entry.state, fact.event)
        return Entry(state, fact.version, fact.at, entry.json_bytes)

    async def _rows(self, changed: Mapping[str, Entry]) -> list[Snapshot]:
        rows: list[Snapshot] = []
        for stream, entry in changed.items():
            rows.append(await self._row(stream, entry))
            if len(rows) % _ROWS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        return rows

    async def _row(self, stream: str, entry: Entry) -> Snapshot:
        public, sealed = without_personal(entry.state), None
        key = None
        if public is not entry.state:
            key = await self._keyring.find_subject(subject_of(stream, entry.at))
        if key is not None:
            sealed = seal_bytes(key, encode_state(entry.state), _place_of(stream, entry.version))
        kept_for = self.aggregate(stream).kept_for
        return Snapshot(
            stream=stream,
            version=entry.version,
            at=entry.at,
            state=encode_state(public),
            sealed=sealed,
            expires_at=None if kept_for is None else entry.at + kept_for,
        )

    async def _entries(self, guarded: Guarded, streams: Iterable[str]) -> Mapping[str, Entry]:
        """What was read, opened; a stream that is not there is in its initial state."""
        sealed = [row.sealed for row in guarded.snapshots.values() if row.sealed]
        keys = await self._keyring.find_all({key_id_of(text) for text in sealed})
        entries = {}
        for stream in streams:
            aggregate, row = self.aggregate(stream), guarded.snapshots.get(stream)
            if row is None:
                entries[stream] = Entry(aggregate.initial, 0, _BEGINNING, 0)
                continue
            key = keys[key_id_of(row.sealed)] if row.sealed else None
            try:
                raw = (
                    unseal_bytes(key, row.sealed or "", _place_of(stream, row.version)) if key else row.state
                )
                state = decode_state(aggregate, raw)
            except (UnsealError, KeyError, msgspec.MsgspecError):
                raise UnavailableError(
                    f"the write model's row of {stream} cannot be read; drop the schema"
                ) from None
            entries[stream] = Entry(state, row.version, row.at, len(row.state))
        return entries


def _place_of(stream: str, version: int) -> bytes:
    """The associated data of a sealed snapshot: it opens only as this stream's state after this event."""
    return f"snapshot\x00{stream}\x00{version}".encode()
