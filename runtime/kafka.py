"""Kafka clients with the settings that the chained log needs. Nobody else imports aiokafka.

What the library gets wrong is handled here: an idempotent producer that failed once is replaced, partitions
are assigned by hand, offsets are never reset silently, and every wait has an end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAlreadyExistsError

MAX_RECORD_BYTES = 900_000
_BATCH_RECORDS = 500
_STOP_SECONDS = 5.0


class KafkaUnavailableError(Exception):
    """The broker did not answer as it should within the time given."""


class KafkaOffsetLostError(Exception):
    """The broker no longer has, or does not have yet, the offset that was read before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaMessage:
    offset: int
    key: bytes | None
    value: bytes | None


class KafkaWriter:
    """Durable produce: acknowledged by all in-sync replicas, idempotent, one partition named by the caller."""

    def __init__(self, bootstrap: str, *, timeout_seconds: float) -> None:
        self._bootstrap = bootstrap
        self._timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def send(self, topic: str, partition: int, key: bytes, value: bytes | None) -> int:
        """The acknowledged offset (-1 for a duplicate). KafkaUnavailableError means: outcome unknown."""
        producer = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._started()
                sent = await producer.send_and_wait(topic, value, key=key, partition=partition)
        except (KafkaError, TimeoutError, OSError) as error:
            self._replace(producer)
            raise KafkaUnavailableError(f"produce to {topic}: {type(error).__name__}") from None
        except asyncio.CancelledError:
            self._replace(producer)
            raise
        return int(sent.offset)

    async def stop(self) -> None:
        self._replace(self._producer)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_STOP_SECONDS)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=1_000_000,
                    request_timeout_ms=int(self._timeout_seconds * 1000),
                    retry_backoff_ms=50,
                )
                try:
                    await producer.start()
                except BaseException:
                    self._replace(producer)
                    raise
                self._producer = producer
            return self._producer

    def _replace(self, producer: AIOKafkaProducer | None) -> None:
        """Let go of a producer whose state is unknown; the next send makes a new one."""
        if producer is None:
            return
        if self._producer is producer:
            self._producer = None
        task = asyncio.get_running_loop().create_task(_stop_quietly(producer))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


class KafkaReader:
    """Reads partitions of one topic by offset.

    `between_reads` says what an idle partition does: "pause" for somebody who reads rarely and knows that
    there is something to read, "fetch" for somebody who follows the end.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partitions: int,
        *,
        timeout_seconds: float,
        between_reads: Literal["pause", "fetch"],
    ) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._timeout_seconds = timeout_seconds
        self._pauses = between_reads == "pause"
        self._next: dict[TopicPartition, int | None] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
            request_timeout_ms=max(1000, int(timeout_seconds * 1000)),
            retry_backoff_ms=100,
        )

    async def start(self) -> None:
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                await self._consumer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await _stop_quietly(self._consumer)
            raise KafkaUnavailableError(f"connect: {type(error).__name__}") from None
        self._consumer.assign(self._partitions)
        for partition in self._partitions:
            self._consumer.seek(partition, 0)
        if self._pauses:
            self._consumer.pause(*self._partitions)

    async def stop(self) -> None:
        await _stop_quietly(self._consumer)

    async def end(self, partition: int) -> int:
        return (await self._ends([self._partitions[partition]]))[partition]

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record, by partition."""
        return await self._ends(self._partitions)

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[KafkaMessage]:
        """Messages from `offset` on, in order; none if nothing came within the wait."""
        where = self._partitions[partition]
        if self._next.get(where) != offset:
            self._consumer.seek(where, offset)
        self._next[where] = None
        if self._pauses:
            self._consumer.resume(where)
        try:
            batches = await self._consumer.getmany(
                where, timeout_ms=int(wait_seconds * 1000), max_records=_BATCH_RECORDS
            )
        except OffsetOutOfRangeError:
            raise KafkaOffsetLostError(
                f"offset {offset} of {where.topic}-{partition} is out of range"
            ) from None
        except (KafkaError, OSError) as error:
            raise KafkaUnavailableError(f"fetch: {type(error).__name__}") from None
        finally:
            if self._pauses:
                self._consumer.pause(where)
        messages = batches.get(where, [])
        self._next[where] = messages[-1].offset + 1 if messages else offset
        return [KafkaMessage(offset=m.offset, key=m.key, value=m.value) for m in messages]

    async def position(self, partition: int) -> int:
        """The offset that will be read next, which runs ahead of the last message where others were compacted."""
        async with asyncio.timeout(self._timeout_seconds):
            return int(await self._consumer.position(self._partitions[partition]))

    async def _ends(self, partitions: list[TopicPartition]) -> Mapping[int, int]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                ends = await self._consumer.end_offsets(partitions)
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaUnavailableError(f"end offsets: {type(error).__name__}") from None
        return {partition.partition: int(end) for partition, end in ends.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


class KafkaAdmin:
    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def create(self, spec: TopicSpec) -> None:
        """Create the topic unless it exists; a topic that exists keeps its settings."""
        topic = NewTopic(
            spec.name, spec.partitions, spec.replication_factor, topic_configs=dict(spec.settings)
        )
        with contextlib.suppress(TopicAlreadyExistsError):
            response = await self._client.create_topics([topic])
            for error in response.topic_errors:
                if error[1] not in (0, TopicAlreadyExistsError.errno):
                    raise KafkaUnavailableError(f"cannot create topic {spec.name}: {error[2]}")

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has, 0 if there is no such topic."""
        described = await self._client.describe_topics([topic])
        return sum(len(one["partitions"]) for one in described if one["error_code"] == 0)

    async def settings(self, topic: str) -> Mapping[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        responses = await self._client.describe_configs([resource])
        return {
            entry[0]: str(entry[1]) for r in responses for resource in r.resources for entry in resource[4]
        }


@contextlib.asynccontextmanager
async def open_admin(bootstrap: str) -> AsyncIterator[KafkaAdmin]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await client.start()
        yield KafkaAdmin(client)
    except (KafkaError, OSError) as error:
        raise KafkaUnavailableError(f"Kafka at {bootstrap}: {type(error).__name__}") from None
    finally:
        await client.close()


async def _stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop within a bound. A client that failed may fail again at its end, and nothing hangs on that."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        async with asyncio.timeout(_STOP_SECONDS):
            await client.stop()
