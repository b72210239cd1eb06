"""Wrapped data keys in the compacted topic `chancery.keys`."""

import hashlib
from collections.abc import AsyncIterator, Mapping

from eventstore.errors import UnavailableError
from eventstore.key_index import KeyBatch, KeyRecord
from runtime.kafka import KafkaReader, KafkaUnavailableError, KafkaWriter
from runtime.kafka_access import KafkaAccess

_PATIENCE_READS = 5


class KafkaKeyStore:
    def __init__(
        self, access: KafkaAccess, topic: str, partitions: int, *, timeout_seconds: float = 2.0
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._writer = KafkaWriter(access, timeout_seconds=timeout_seconds)
        self._reader = KafkaReader(
            access, topic, partitions, timeout_seconds=timeout_seconds, between_reads="pause"
        )

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
            await (await self._writer.send(self._topic, partition, key, record.value))
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record, by partition."""
        try:
            return await self._reader.ends()
        except KafkaUnavailableError as error:
            raise UnavailableError(f"keys: {error}") from None

    async def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        try:
            for partition, end in (await self._reader.ends()).items():
                async for batch in self._read_to(partition, positions.get(partition, 0), end):
                    yield batch
        except (KafkaUnavailableError, TimeoutError) as error:
            raise UnavailableError(f"keys: {error}") from None

    async def _read_to(self, partition: int, start: int, end: int) -> AsyncIterator[KeyBatch]:
        silent_reads = 0
        while start < end:
            messages = await self._reader.read(partition, start, wait_seconds=0.5)
            next_offset = messages[-1].offset + 1 if messages else start
            if not messages:
                silent_reads += 1
                next_offset = max(start, await self._reader.position(partition))
            if silent_reads > _PATIENCE_READS:
                raise UnavailableError(f"keys: partition {partition} cannot be read to its end")
            records = tuple(
                (message.offset, KeyRecord(key=message.key.decode(), value=message.value))
                for message in messages
                if message.key is not None
            )
            yield KeyBatch(partition=partition, start=start, end=next_offset, records=records)
            start = next_offset
