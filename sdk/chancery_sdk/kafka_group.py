"""A Kafka consumer group that shares the partitions among processes, and keeps their commits if they want it to.

The group says who follows what and does nothing else: its consumer is paused wherever it is assigned, and events are
read by `KafkaFeed`, by offset. So an assignment that changes in the middle of a read concerns nobody.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from chancery_sdk.checkpoints import OutrunError
from chancery_sdk.commits import Commits, Committed, read_offset, write_offset
from chancery_sdk.kafka import ANSWER_SECONDS, FAILURES, TOPIC, partition_numbers, stop_consumer
from chancery_sdk.sharing import Hands, Sharing

SESSION_SECONDS = 6.0
"""A member that is killed is missed by then; its partitions go to others at once."""
_HEARTBEAT_SECONDS = 1.5
_REBALANCE_SECONDS = 15.0
"""So long the group waits for a member that still finishes what it began."""
_POLL_SECONDS = 1.0
_MOST_POLL_SECONDS = 30.0
"""A member whose event loop does not come round for so long is none any more."""
_METADATA_SECONDS = 5.0
"""A topic that a broker did not know of yet, or one with more partitions, is shared out by then."""
_PAUSE_SECONDS = 1.0
_log = logging.getLogger("chancery_sdk")


class KafkaGroup(Sharing, Commits):
    """Processes with the same `group` share the topic's partitions. A process takes part in it once.

    `client` is as for `open_feed`. It connects when it takes part, and waits for brokers that are away.
    """

    def __init__(self, bootstrap: str, group: str, *, topic: str = TOPIC, **client: Any) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._client = client
        self._consumer: AIOKafkaConsumer | None = None

    async def take_part(self, hands: Hands) -> None:
        while True:
            try:
                await self._be_member(hands)
            except FAILURES as error:
                _log.warning("group %s: %s; it is joined again", self._group, type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _be_member(self, hands: Hands) -> None:
        """Until something fails. The polls keep the membership, and tell of what failed in the library's tasks."""
        consumer = self._make()
        listener = _Listener(consumer, hands)
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                await partition_numbers(self._bootstrap, self._topic, self._client)
                await consumer.start()
            self._consumer = consumer
            consumer.subscribe([self._topic], listener=listener)
            while True:
                await consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000))
                listener.raise_failure()
        finally:
            await listener.leave()
            self._consumer = None
            await stop_consumer(consumer)

    async def read(self, partition: int) -> Committed | None:
        where = TopicPartition(self._topic, partition)
        return await read_offset(self._bootstrap, self._group, where, self._client)

    async def write(self, partition: int, committed: Committed) -> None:
        """The broker takes it from whom the group gave the partition, and from nobody else."""
        if self._consumer is None:
            raise OutrunError
        await write_offset(self._consumer, TopicPartition(self._topic, partition), committed)

    def _make(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(_HEARTBEAT_SECONDS * 1000),
            rebalance_timeout_ms=int(_REBALANCE_SECONDS * 1000),
            max_poll_interval_ms=int(_MOST_POLL_SECONDS * 1000),
            metadata_max_age_ms=int(_METADATA_SECONDS * 1000),
            **self._client,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka swallows what a listener raises, so it is kept for the next poll."""

    def __init__(self, consumer: AIOKafkaConsumer, hands: Hands) -> None:
        self._consumer = consumer
        self._hands = hands
        self._held: frozenset[int] = frozenset()
        self._failure: Exception | None = None

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def leave(self) -> None:
        held, self._held = self._held, frozenset()
        await self._hands.leave(held)

    async def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        """Whoever gets them next waits for this."""
        try:
            await self.leave()
        except Exception as error:
            self._failure = error
            raise

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        try:
            self._consumer.pause(*assigned)
            self._held = frozenset(one.partition for one in assigned)
            await self._hands.take(self._held)
        except Exception as error:
            self._failure = error
            raise
