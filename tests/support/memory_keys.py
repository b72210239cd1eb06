"""The key topic in memory, shared by several keyrings like the real one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from events.fact import Event
from eventstore.commit import SealedEvent
from eventstore.errors import MissingStreamError
from eventstore.facts import seal_events
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyBatch, KeyIndex, KeyRecord, MemoryKeyIndex
from eventstore.keyring import Keyring

KEY_ENCRYPTION_KEY = bytes(range(32))


async def sealed_events(
    keyring: Keyring, events: Sequence[tuple[str, int, Event]], at: datetime
) -> tuple[SealedEvent, ...]:
    """As `seal_events`, with the keys that are missing made first."""
    while True:
        try:
            return seal_events(keyring, events, at)
        except MissingStreamError as missing:
            await keyring.key_for(missing.subject or missing.stream)


class KeyTopic:
    def __init__(self) -> None:
        self.records: list[KeyRecord] = []

    def keyring(
        self, *, encryption_key: bytes = KEY_ENCRYPTION_KEY, index: KeyIndex | None = None
    ) -> Keyring:
        encryption = LocalKeyEncryption(encryption_key)
        return Keyring(MemoryKeyStore(self), encryption, index or MemoryKeyIndex())

    def erase(self, subject: str) -> None:
        keys = {record.key for record in self.records if record.key.rpartition("/")[0] == subject}
        self.records.extend(KeyRecord(key=key, value=None) for key in keys)


class MemoryKeyStore:
    """One partition, read in batches of at most three."""

    def __init__(self, topic: KeyTopic) -> None:
        self._topic = topic

    async def put(self, record: KeyRecord) -> None:
        self._topic.records.append(record)

    async def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        start = positions.get(0, 0)
        while start < len(self._topic.records):
            end = min(start + 3, len(self._topic.records))
            records = tuple(enumerate(self._topic.records[start:end], start))
            yield KeyBatch(partition=0, start=start, end=end, records=records)
            start = end
