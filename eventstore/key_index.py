"""Where the newest record of every data key is looked up by id or subject, so that no process holds them all.

The index is disposable: it follows the key topic, and says up to which offset of each partition it does.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One record of the key topic: `key` is `<subject>/<key id>`, `value` None once the key was erased."""

    key: str
    value: bytes | None

    @property
    def subject(self) -> str:
        return self.key.rpartition("/")[0]

    @property
    def key_id(self) -> uuid.UUID:
        return uuid.UUID(self.key.rpartition("/")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBatch:
    """What one partition of the topic holds, with offsets, from `start` up to, and without, `end`."""

    partition: int
    start: int
    end: int
    records: Sequence[tuple[int, KeyRecord]]

    def since(self, offset: int) -> Sequence[KeyRecord]:
        """The last record of each key from `offset` on; a tombstone is always the last."""
        last: dict[str, KeyRecord] = {}
        for place, record in self.records:
            before = last.get(record.key)
            if place >= offset and (before is None or before.value is not None):
                last[record.key] = record
        return tuple(last.values())


class KeyIndex(Protocol):
    """The port to the index. Every call may raise UnavailableError."""

    async def positions(self) -> Mapping[int, int]:
        """Up to which offset each partition is indexed; a partition that is not named, up to 0."""
        ...

    async def save(self, batch: KeyBatch) -> bool:
        """Take in what the index has not got of the batch. False if it stands before its start: there is a hole.

        A key that was erased stays erased, whatever comes after its tombstone.
        """
        ...

    async def find(self, key_ids: Iterable[uuid.UUID]) -> Sequence[KeyRecord]:
        """The records of those of the ids that are not erased."""
        ...

    async def find_subject(self, subject: str) -> KeyRecord | None:
        """Any record of the subject that is not erased."""
        ...


class MemoryKeyIndex:
    """The index of a single process, or of a simulation."""

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}
        self._records: dict[uuid.UUID, KeyRecord] = {}
        self._by_subject: dict[str, KeyRecord] = {}
        self._erased: set[uuid.UUID] = set()

    async def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def save(self, batch: KeyBatch) -> bool:
        position = self._positions.get(batch.partition, 0)
        if position < batch.start:
            return False
        self._positions[batch.partition] = max(position, batch.end)
        for record in batch.since(position):
            if record.value is None:
                self._erased.add(record.key_id)
                erased = self._records.pop(record.key_id, None)
                if erased is not None and self._by_subject.get(erased.subject) == erased:
                    del self._by_subject[erased.subject]
            elif record.key_id not in self._erased:
                self._records[record.key_id] = record
                self._by_subject[record.subject] = record
        return True

    async def find(self, key_ids: Iterable[uuid.UUID]) -> Sequence[KeyRecord]:
        return [self._records[key_id] for key_id in key_ids if key_id in self._records]

    async def find_subject(self, subject: str) -> KeyRecord | None:
        return self._by_subject.get(subject)
