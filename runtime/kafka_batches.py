"""Writes records to Kafka in batches that are stored whole or not at all, one at a time."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from runtime.kafka import CLIENT_FAILURES, Headers, KafkaUnavailableError, KafkaWriter
from runtime.kafka_access import KafkaAccess

BATCH_BYTES = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaRecord:
    key: bytes
    value: bytes
    headers: Headers


class KafkaBatchWriter(KafkaWriter):
    """For somebody who waits for a batch's fate before sending the next one of that partition."""

    def __init__(self, access: KafkaAccess, *, timeout_seconds: float) -> None:
        super().__init__(access, timeout_seconds=timeout_seconds, batch_bytes=BATCH_BYTES)

    async def send_batch(self, topic: str, partition: int, records: Sequence[KafkaRecord]) -> int:
        """Store the first records in one batch; how many it held.

        KafkaUnavailableError means: outcome unknown. The batch may still arrive, later than others.
        """
        producer = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._started()
                batch = producer.create_batch()
                taken = sum(1 for _ in itertools.takewhile(partial(_fits, batch), records))
                delivery = await producer.send_batch(batch, topic, partition=partition)
                await _outlived(delivery)
        except CLIENT_FAILURES as failure:
            self._replace(producer)
            raise KafkaUnavailableError(f"produce to {topic}: {type(failure).__name__}") from None
        except asyncio.CancelledError:
            self._replace(producer)
            raise
        return taken


def _fits(batch: Any, record: KafkaRecord) -> bool:
    """Add the record, unless the batch is full."""
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None


async def _outlived(delivery: "asyncio.Future[Any]") -> None:
    """Wait for a delivery that goes on when nobody waits any more, and whose failure then surprises nobody."""
    delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({delivery})
    delivery.result()
