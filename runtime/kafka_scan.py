"""Reads one partition from its first offset to a known end as fast as one core can, for tools that read a whole log."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from runtime.kafka import CLIENT_FAILURES, KafkaOffsetLostError, KafkaUnavailableError
from runtime.kafka_access import KafkaAccess

_FETCH_BYTES = 4_000_000
_START_SECONDS = 20.0
_SILENT_SECONDS = 30.0


async def scan(
    access: KafkaAccess, topic: str, partition: int, end: int
) -> AsyncIterator[Sequence[ConsumerRecord[bytes | None, bytes | None]]]:
    """Batches of the library's own records (`offset`, `key`, `value`), which copying would slow down by a third.

    KafkaOffsetLostError if the first offset is not there any more, KafkaUnavailableError if the broker is not.
    """
    where = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **access.client_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            await consumer.start()
        consumer.assign([where])
        consumer.seek(where, 0)
        reached = 0
        while reached < end:
            batches = await consumer.getmany(timeout_ms=int(_SILENT_SECONDS * 1000))
            batch = [record for record in batches.get(where, ()) if record.offset < end]
            if not batch:
                raise KafkaUnavailableError(f"{topic}-{partition} cannot be read to offset {end}")
            reached = batch[-1].offset + 1
            yield batch
    except OffsetOutOfRangeError:
        raise KafkaOffsetLostError(f"{topic}-{partition} does not begin at offset 0") from None
    except CLIENT_FAILURES as error:
        raise KafkaUnavailableError(f"read {topic}-{partition}: {type(error).__name__}") from None
    finally:
        await consumer.stop()
