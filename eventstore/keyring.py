"""The data keys that this process knows, backed by the topic of wrapped keys.

A key is stored before the first event that needs it. An unknown key is looked for by reading the topic to
its end; one that is still unknown then was erased, and what it sealed is gone for good.
"""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from eventstore.sealing import DataKey, new_data_key, unwrap, wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One record of the key topic: `key` is `<subject>/<key id>`, `value` None once the key was erased."""

    key: str
    value: bytes | None


class KeyStore(Protocol):
    """The port to the topic of wrapped keys."""

    async def put(self, record: KeyRecord) -> None:
        """Return once `record` is stored durably. UnavailableError otherwise."""
        ...

    def read_new(self) -> AsyncIterator[KeyRecord]:
        """Every record that this store has not handed out yet, up to the present end."""
        ...


class WrappedKey(msgspec.Struct, frozen=True, kw_only=True):
    v: int
    wrapped: str


class Keyring:
    def __init__(self, store: KeyStore, key_encryption_key: bytes) -> None:
        self._store = store
        self._key_encryption_key = key_encryption_key
        self._by_id: dict[uuid.UUID, DataKey] = {}
        self._by_subject: dict[str, DataKey] = {}
        self._erased: set[uuid.UUID] = set()
        self._reading = asyncio.Lock()

    async def key_for(self, subject: str) -> DataKey:
        """The key to seal this subject's fields with, made and stored first if there is none."""
        known = self._by_subject.get(subject)
        if known is not None:
            return known
        key, raw = new_data_key(subject)
        wrapped = WrappedKey(v=1, wrapped=_text(wrap(self._key_encryption_key, key, raw)))
        record = KeyRecord(key=f"{subject}/{key.key_id}", value=msgspec.json.encode(wrapped))
        await self._store.put(record)
        self._know(key)
        return key

    async def find(self, key_id: uuid.UUID) -> DataKey | None:
        """The key of this id, or None if it was erased. Ask only for ids that were read in the log."""
        if key_id not in self._by_id and key_id not in self._erased:
            await self.catch_up()
        key = self._by_id.get(key_id)
        if key is None:
            self._erased.add(key_id)
        return key

    async def catch_up(self) -> None:
        """Learn every key that was stored, and forget every key that was erased, since the last time."""
        async with self._reading:
            async for record in self._store.read_new():
                self._learn(record)

    def _learn(self, record: KeyRecord) -> None:
        subject, _, key_id_text = record.key.rpartition("/")
        key_id = uuid.UUID(key_id_text)
        if record.value is None:
            self._by_id.pop(key_id, None)
            if subject in self._by_subject and self._by_subject[subject].key_id == key_id:
                del self._by_subject[subject]
            return
        wrapped = _bytes(msgspec.json.decode(record.value, type=WrappedKey).wrapped)
        self._know(unwrap(self._key_encryption_key, subject, key_id, wrapped))

    def _know(self, key: DataKey) -> None:
        self._by_id[key.key_id] = key
        self._by_subject[key.subject] = key


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
