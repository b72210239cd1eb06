"""The key topic in memory, shared by several keyrings like the real one."""

from collections.abc import AsyncIterator

from eventstore.keyring import KeyRecord, Keyring

KEY_ENCRYPTION_KEY = bytes(range(32))


class KeyTopic:
    def __init__(self) -> None:
        self.records: list[KeyRecord] = []

    def keyring(self) -> Keyring:
        return Keyring(MemoryKeyStore(self), KEY_ENCRYPTION_KEY)

    def erase(self, subject: str) -> None:
        keys = {record.key for record in self.records if record.key.rpartition("/")[0] == subject}
        self.records.extend(KeyRecord(key=key, value=None) for key in keys)


class MemoryKeyStore:
    def __init__(self, topic: KeyTopic) -> None:
        self._topic = topic
        self._next = 0

    async def put(self, record: KeyRecord) -> None:
        self._topic.records.append(record)

    async def read_new(self) -> AsyncIterator[KeyRecord]:
        while self._next < len(self._topic.records):
            record = self._topic.records[self._next]
            self._next += 1
            yield record
