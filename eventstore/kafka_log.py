"""The log on Apache Kafka. It adds no rule of its own: what counts is decided by the chain."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from eventstore.commit import Record
from eventstore.errors import AppendUnknownError, CorruptLogError, UnavailableError
from eventstore.log import Log
from runtime.kafka import KafkaOffsetLostError, KafkaReader, KafkaUnavailableError, KafkaWriter
from runtime.kafka_access import KafkaAccess


class KafkaLog(Log):
    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        partitions: int,
        *,
        timeout_seconds: float = 2.0,
        between_reads: Literal["pause", "fetch"] = "pause",
        gathers: bool = False,
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._writer = KafkaWriter(access, timeout_seconds=timeout_seconds)
        self._reader = KafkaReader(
            access,
            topic,
            partitions,
            timeout_seconds=timeout_seconds,
            between_reads=between_reads,
            gathers=gathers,
        )

    @property
    def partitions(self) -> int:
        return self._partitions

    async def start(self) -> None:
        try:
            await self._reader.start()
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def stop(self) -> None:
        await self._writer.stop()
        await self._reader.stop()

    async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
        try:
            return await self._writer.send(self._topic, partition, key, value, error=AppendUnknownError)
        except KafkaUnavailableError as error:
            raise AppendUnknownError(str(error)) from None

    async def end(self, partition: int, *, at_least: int = 0) -> int:
        try:
            return await self._reader.end(partition, at_least=at_least)
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        try:
            messages = await self._reader.read(partition, offset, wait_seconds=wait_seconds)
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None
        except KafkaOffsetLostError as error:
            raise CorruptLogError(partition, offset, str(error)) from None
        return [
            Record(partition=partition, offset=message.offset, key=message.key, value=message.value)
            for message in messages
        ]
