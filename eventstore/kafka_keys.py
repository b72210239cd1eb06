"""Wrapped data keys in the compacted topic `chancery.keys`."""

import hashlib
from collections.abc import AsyncIterator

from eventstore.errors import UnavailableError
from eventstore.keyring import KeyRecord
from runtime.kafka import KafkaReader, KafkaUnavailableError, KafkaWriter

_PATIENCE_READS = 5


class KafkaKeyStore:
    def __init__(self, bootstrap: str, topic: str, partitions: int, *, timeout_seconds: float = 2.0) -> None:
        self._topic = topic
        self._partitions = partitions
        self._writer = KafkaWriter(bootstrap, timeout_seconds=timeout_seconds)
        self._reader = KafkaReader(
            bootstrap, topic, partitions, timeout_seconds=timeout_seconds, between_reads="pause"
        )
        self._next = dict.fromkeys(range(partitions), 0)

    async def start(self) -> None:
        try:
            await self._reader.start()
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def stop(self) -> None:
        await self._writer.stop()
        await self._reader.stop()

    async def put(self, record: KeyRecord) -> None:
        key = record.key.encode()
        partition = int.from_bytes(hashlib.sha256(key).digest()[:4], "big") % self._partitions
        try:
            await self._writer.send(self._topic, partition, key, record.value)
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def read_new(self) -> AsyncIterator[KeyRecord]:
        try:
            for partition, end in (await self._reader.ends()).items():
                async for record in self._read_to(partition, end):
                    yield record
        except (KafkaUnavailableError, TimeoutError) as error:
            raise UnavailableError(f"keys: {error}") from None

    async def _read_to(self, partition: int, end: int) -> AsyncIterator[KeyRecord]:
        silent_reads = 0
        while self._next[partition] < end:
            messages = await self._reader.read(partition, self._next[partition], wait_seconds=0.5)
            for message in messages:
                self._next[partition] = message.offset + 1
                if message.key is not None:
                    yield KeyRecord(key=message.key.decode(), value=message.value)
            if not messages:
                silent_reads += 1
                self._next[partition] = max(self._next[partition], await self._reader.position(partition))
            if silent_reads > _PATIENCE_READS:
                raise UnavailableError(f"keys: partition {partition} cannot be read to its end")
