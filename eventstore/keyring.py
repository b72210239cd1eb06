"""The data keys that this process works with: a bounded cache over the topic of wrapped keys and its index.

A key is stored before the first event that needs it. A key that neither cache nor index knows is looked for
by reading the topic to its end; one that is still unknown then was erased, and what it sealed is gone for good.
"""

import asyncio
import base64
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore.errors import UnavailableError
from eventstore.key_encryption import KeyEncryption
from eventstore.key_index import KeyBatch, KeyIndex, KeyRecord
from eventstore.sealing import DataKey, new_data_key

_CAPACITY = 50_000
_TRIES = 5


class KeyStore(Protocol):
    """The port to the topic of wrapped keys."""

    async def put(self, record: KeyRecord) -> None:
        """Return once `record` is stored durably. UnavailableError otherwise."""
        ...

    def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        """Everything from those offsets (0 where none is named) up to the present ends, batch by batch."""
        ...


class WrappedKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`kek` is the id of the key-encryption key; records of before there were ids have none."""

    v: int
    wrapped: str
    kek: str = ""


class Keyring:
    def __init__(
        self, store: KeyStore, encryption: KeyEncryption, index: KeyIndex, *, capacity: int = _CAPACITY
    ) -> None:
        self._store = store
        self._encryption = encryption
        self._index = index
        self._capacity = capacity
        self._by_id: OrderedDict[uuid.UUID, DataKey] = OrderedDict()
        self._by_subject: OrderedDict[str, DataKey] = OrderedDict()
        self._seen: dict[int, int] = {}
        self._reading = asyncio.Lock()

    def cached(self, subject: str) -> DataKey | None:
        """A key of this subject that is at hand without waiting."""
        return self._by_subject.get(subject)

    async def key_for(self, subject: str) -> DataKey:
        """The key to seal this subject's fields with, made and stored first if there is none."""
        return await self.find_subject(subject) or await self.create(subject)

    async def find_subject(self, subject: str) -> DataKey | None:
        """A key of this subject, None if it has none or not any more. UnsealError if none at hand unwraps it."""
        known = self._by_subject.get(subject)
        if known is not None:
            return known
        record = await self._index.find_subject(subject)
        return None if record is None else self._learn(record)

    async def create(self, subject: str) -> DataKey:
        """A new key, stored. For a subject that is new, this saves looking for one."""
        key, raw = new_data_key(subject)
        await self._store.put(wrapped_record(self._encryption, key, raw))
        self._know(key)
        return key

    async def find(self, key_id: uuid.UUID) -> DataKey | None:
        """The key of this id, or None if it was erased. Ask only for ids that were read in the log."""
        return (await self.find_all((key_id,)))[key_id]

    async def find_all(self, key_ids: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, DataKey | None]:
        """As `find`, for many at once."""
        found: dict[uuid.UUID, DataKey | None] = {key_id: self._by_id.get(key_id) for key_id in key_ids}
        missing = [key_id for key_id, key in found.items() if key is None]
        if missing:
            found.update(await self._looked_up(missing))
            missing = [key_id for key_id in missing if found[key_id] is None]
        if missing:
            await self.catch_up()
            found.update(await self._looked_up(missing))
        return found

    async def catch_up(self) -> None:
        """Index every key that was stored, and forget every key that was erased, since the last time."""
        async with self._reading:
            for _ in range(_TRIES):
                if await self._index_tail():
                    return
            raise UnavailableError("the index of data keys does not stand still")

    async def _index_tail(self) -> bool:
        """Read from where the index stands, or from where this process has not looked for erased keys yet."""
        indexed = await self._index.positions()
        seen = {partition: self._seen.get(partition, offset) for partition, offset in indexed.items()}
        starts = {partition: min(offset, seen[partition]) for partition, offset in indexed.items()}
        async for batch in self._store.read(starts):
            for _, record in batch.records:
                if record.value is None:
                    self._forget(record)
            if not await self._index.save(batch):
                return False
            self._seen[batch.partition] = batch.end
        return True

    async def _looked_up(self, key_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, DataKey]:
        return {record.key_id: self._learn(record) for record in await self._index.find(key_ids)}

    def _learn(self, record: KeyRecord) -> DataKey:
        assert record.value is not None
        key = opened(self._encryption, record)
        self._know(key)
        return key

    def _know(self, key: DataKey) -> None:
        self._by_id[key.key_id] = key
        self._by_subject[key.subject] = key
        while len(self._by_id) > self._capacity:
            self._by_id.popitem(last=False)
        while len(self._by_subject) > self._capacity:
            self._by_subject.popitem(last=False)

    def _forget(self, record: KeyRecord) -> None:
        self._by_id.pop(record.key_id, None)
        known = self._by_subject.get(record.subject)
        if known is not None and known.key_id == record.key_id:
            del self._by_subject[record.subject]


def wrapped_record(encryption: KeyEncryption, key: DataKey, raw: bytes) -> KeyRecord:
    """What the topic stores for a data key."""
    wrapped = WrappedKey(v=1, wrapped=_text(encryption.wrap(key, raw)), kek=encryption.current)
    return KeyRecord(key=f"{key.subject}/{key.key_id}", value=msgspec.json.encode(wrapped))


def wrapping_key_of(record: KeyRecord) -> str:
    """The id of the key-encryption key that a record is wrapped under; empty in records of before there were ids."""
    assert record.value is not None
    return msgspec.json.decode(record.value, type=WrappedKey).kek


def raw_key(encryption: KeyEncryption, record: KeyRecord) -> bytes:
    assert record.value is not None
    wrapped = msgspec.json.decode(record.value, type=WrappedKey)
    return encryption.unwrap(wrapped.kek, record.subject, record.key_id, _bytes(wrapped.wrapped))


def opened(encryption: KeyEncryption, record: KeyRecord) -> DataKey:
    """The data key of a record. UnsealError if it was wrapped under a key that is not at hand."""
    raw = raw_key(encryption, record)
    return DataKey(key_id=record.key_id, subject=record.subject, cipher=AESGCM(raw))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
