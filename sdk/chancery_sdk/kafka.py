"""The feed on Apache Kafka. Partitions are assigned by hand, because the place of a reader lives with its work."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from chancery_sdk.events import Record
from chancery_sdk.feed import Feed, FeedUnavailableError, OffsetLostError

TOPIC = "chancery.public"
MOST_RECORDS = 500
ANSWER_SECONDS = 5.0
_STOP_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_SILENT_SECONDS = 5.0
FAILURES = (
    KafkaError, TimeoutError, OSError, struct.error, ValueError, LookupError, TypeError, AssertionError
)  # fmt: skip
"""What the clients raise: the later ones where a broker's bytes make no sense, which the library lets through."""


class KafkaFeed(Feed):
    """Open it with `open_feed`. A consumer that says nothing for long where there is something is replaced."""

    def __init__(self, make: Callable[[], AIOKafkaConsumer], topic: str, partitions: Sequence[int]) -> None:
        self._make = make
        self._topic = topic
        self._partitions = partitions
        self._consumer = make()
        self._next: dict[int, int | None] = {}
        self._ends: dict[int, int] = {}
        self._silent_since: dict[int, float] = {}
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        await self._start(self._consumer)

    async def stop(self) -> None:
        await stop_consumer(self._consumer)

    async def partitions(self) -> Sequence[int]:
        return self._partitions

    async def begin(self, partition: int) -> int:
        return await self._offset(partition, self._consumer.beginning_offsets)

    async def end(self, partition: int) -> int:
        end = await self._offset(partition, self._consumer.end_offsets)
        self._ends[partition] = end
        return end

    async def offset_at(self, partition: int, time: datetime) -> int:
        where, end = TopicPartition(self._topic, partition), await self.end(partition)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._consumer.offsets_for_times({where: int(time.timestamp() * 1000)})
        except FAILURES as error:
            await self._is_silent(partition)
            raise FeedUnavailableError(f"offsets: {type(error).__name__}") from None
        return end if found[where] is None else int(found[where].offset)

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        where, consumer, standing = TopicPartition(self._topic, partition), self._consumer, self._next
        try:
            if standing.get(partition) != offset:
                consumer.seek(where, offset)
            standing[partition] = None
            batches = await consumer.getmany(
                where, timeout_ms=int(wait_seconds * 1000), max_records=MOST_RECORDS
            )
        except OffsetOutOfRangeError:
            if offset < await self.begin(partition):
                raise OffsetLostError(f"offset {offset} of {self._topic}-{partition} is gone") from None
            raise FeedUnavailableError("the partition's leader does not know this offset yet") from None
        except FAILURES as error:
            await self._is_silent(partition)
            raise FeedUnavailableError(f"fetch: {type(error).__name__}") from None
        messages = batches.get(where, [])
        standing[partition] = messages[-1].offset + 1 if messages else offset
        if messages or offset >= self._ends.get(partition, 0):
            self._silent_since.pop(partition, None)
        else:
            await self._is_silent(partition)
        return [
            Record(partition=partition, offset=one.offset, value=one.value, headers=tuple(one.headers))
            for one in messages
        ]

    async def _is_silent(self, partition: int) -> None:
        """Note it; a consumer in which the library's own tasks died stays silent for ever, and is replaced."""
        now = asyncio.get_running_loop().time()
        if now - self._silent_since.setdefault(partition, now) < _SILENT_SECONDS or self._renewing.locked():
            return
        async with self._renewing:
            consumer = self._make()
            await self._start(consumer)
            worn, self._consumer, self._next = self._consumer, consumer, {}
            self._silent_since.clear()
            await stop_consumer(worn)

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                await consumer.start()
        except BaseException as error:
            await stop_consumer(consumer)
            if isinstance(error, FAILURES):
                raise FeedUnavailableError(f"Kafka: {type(error).__name__}") from None
            raise
        consumer.assign([TopicPartition(self._topic, number) for number in self._partitions])

    async def _offset(self, partition: int, ask: Any) -> int:
        where = TopicPartition(self._topic, partition)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return int((await ask([where]))[where])
        except FAILURES as error:
            await self._is_silent(partition)
            raise FeedUnavailableError(f"offsets: {type(error).__name__}") from None


@contextlib.asynccontextmanager
async def open_feed(bootstrap: str, *, topic: str = TOPIC, **client: Any) -> AsyncIterator[KafkaFeed]:
    """FeedUnavailableError if there is no broker or no such topic.

    `client` goes to aiokafka's clients as it is, for instance `security_protocol` and `ssl_context`.
    """

    def make() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
            **client,
        )

    try:
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            numbers = await partition_numbers(bootstrap, topic, client)
    except FAILURES as error:
        raise FeedUnavailableError(f"Kafka at {bootstrap}: {type(error).__name__}") from None
    feed = KafkaFeed(make, topic, numbers)
    await feed.start()
    try:
        yield feed
    finally:
        await feed.stop()


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    with contextlib.suppress(*FAILURES):
        async with asyncio.timeout(_STOP_SECONDS):
            await consumer.stop()


async def partition_numbers(bootstrap: str, topic: str, client: Mapping[str, Any]) -> Sequence[int]:
    """The topic's partitions. Somebody may be making it just now, so it is waited for; a right is not."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **client)
    try:
        await admin.start()
        while True:
            (described,) = await admin.describe_topics([topic])
            if described["error_code"] == TopicAuthorizationFailedError.errno:
                raise TopicAuthorizationFailedError(topic)
            if described["error_code"] == 0:
                return sorted(one["partition"] for one in described["partitions"])
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await admin.close()
