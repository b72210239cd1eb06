"""Kafka clients with the settings that the chained log needs. Nobody outside `runtime` imports aiokafka.

What the library gets wrong is handled here: an idempotent producer that failed once is replaced, partitions
are assigned by hand, offsets are never reset silently, and every wait has an end.
"""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from runtime.kafka_access import KafkaAccess

MAX_RECORD_BYTES = 900_000
_BATCH_RECORDS = 500
_GATHERED_BYTES = 65_536
_STOP_SECONDS = 5.0
_WORN_SECONDS = 2.0
"""A consumer that fails for longer is replaced. It costs a connection, and nothing is believed of the old one."""

_DEPOSED_SECONDS = 10.0
"""A leader that slept and was deposed meanwhile knows nothing of later records until it hears of that. What is
missing for longer is lost."""

CLIENT_FAILURES = (
    KafkaError, TimeoutError, OSError, struct.error, ValueError, LookupError, TypeError, AssertionError, RuntimeError
)  # fmt: skip
"""What the clients raise: the later ones where a broker's bytes make no sense, which the library lets through; the last is
what uvloop says where asyncio would be silent, of a connection that has just been closed."""


class KafkaUnavailableError(Exception):
    """The broker did not answer as it should within the time given."""


class KafkaOffsetLostError(Exception):
    """The broker no longer has, or does not have yet, the offset that was read before."""


Headers = tuple[tuple[str, bytes], ...]


class KafkaMessage(msgspec.Struct, frozen=True, kw_only=True):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class _Sent:
    """A record on its way: who carries it, and who waits for it."""

    __slots__ = ("acknowledged", "error", "producer", "topic")

    def __init__(self, topic: str, *, producer: AIOKafkaProducer, error: type[Exception]) -> None:
        self.topic = topic
        self.producer = producer
        self.error = error
        self.acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class KafkaWriter:
    """Durable produce: acknowledged by all in-sync replicas, idempotent, one partition named by the caller."""

    def __init__(self, access: KafkaAccess, *, timeout_seconds: float, batch_bytes: int = 16_384) -> None:
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._batch_bytes = batch_bytes
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()
        self._watched: deque[tuple[float, _Sent]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def send(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes | None,
        *,
        error: type[Exception] = KafkaUnavailableError,
    ) -> "asyncio.Future[int]":
        """Hand a record over. The future gives the acknowledged offset (-1 for a duplicate) or raises `error`.

        KafkaUnavailableError here, or `error` there, means: outcome unknown.
        """
        producer = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._started()
                delivery = await producer.send(topic, value, key=key, partition=partition)
        except CLIENT_FAILURES as failure:
            self._replace(producer)
            raise KafkaUnavailableError(f"produce to {topic}: {type(failure).__name__}") from None
        except asyncio.CancelledError:
            self._replace(producer)
            raise
        sent = _Sent(topic, producer=producer, error=error)
        delivery.add_done_callback(lambda delivered: self._delivered(sent, delivered))
        self._watch(sent)
        return sent.acknowledged

    def _delivered(self, sent: "_Sent", delivery: "asyncio.Future[Any]") -> None:
        failure = asyncio.CancelledError() if delivery.cancelled() else delivery.exception()
        if failure is not None:
            self._fail(sent, type(failure).__name__)
        elif not sent.acknowledged.done():
            sent.acknowledged.set_result(int(delivery.result().offset))

    def _fail(self, sent: "_Sent", reason: str) -> None:
        if not sent.acknowledged.done():
            self._replace(sent.producer)
            sent.acknowledged.set_exception(sent.error(f"produce to {sent.topic}: {reason}"))

    def _watch(self, sent: "_Sent") -> None:
        """One timer for all: every record has the same time, so the oldest is the first to run out of it."""
        loop = asyncio.get_running_loop()
        self._watched.append((loop.time() + self._timeout_seconds, sent))
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_seconds, self._expire)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._watched and (
            self._watched[0][1].acknowledged.done() or self._watched[0][0] <= loop.time()
        ):
            self._fail(self._watched.popleft()[1], "TimeoutError")
        if self._watched:
            self._timer = loop.call_at(self._watched[0][0], self._expire)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._replace(self._producer)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_STOP_SECONDS)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._access.client_options(),
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=1_000_000,
                    max_batch_size=self._batch_bytes,
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
    there is something to read, "fetch" for somebody who follows the end. Who follows it and `gathers` lets the broker
    wait for more, 50 ms at most: one answer for many records instead of one for each.
    """

    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        partitions: int,
        *,
        timeout_seconds: float,
        between_reads: Literal["pause", "fetch"],
        gathers: bool = False,
    ) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._pauses = between_reads == "pause"
        self._least_bytes = _GATHERED_BYTES if gathers else 1
        self._next: dict[TopicPartition, int | None] = {}
        """Where the present consumer stands; another one has another dictionary."""
        self._ends_told: dict[TopicPartition, int] = {}
        self._failing_since: dict[str, float] = {}
        self._missing: dict[int, tuple[int, float]] = {}
        """By partition: the offset that must be there and was said not to be, and since when."""
        self._renewal: asyncio.Task[None] | None = None
        self._consumer = self._new_consumer()

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._access.client_options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
            fetch_min_bytes=self._least_bytes,
            request_timeout_ms=max(1000, int(self._timeout_seconds * 1000)),
            retry_backoff_ms=100,
        )

    async def start(self) -> None:
        await self._start(self._consumer)

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                await consumer.start()
        except CLIENT_FAILURES as error:
            await _stop_quietly(consumer)
            raise KafkaUnavailableError(f"connect: {type(error).__name__}") from None
        except asyncio.CancelledError:
            await _stop_quietly(consumer)
            raise
        consumer.assign(self._partitions)
        for partition in self._partitions:
            consumer.seek(partition, 0)
        if self._pauses:
            consumer.pause(*self._partitions)

    async def stop(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
        await _stop_quietly(self._consumer)

    def _works(self, what: str) -> None:
        self._failing_since.pop(what, None)

    def _fails(self, what: str) -> None:
        """A consumer that fails for long may be broken inside, where tasks of the library died: try a new one."""
        now = asyncio.get_running_loop().time()
        is_renewing = self._renewal is not None and not self._renewal.done()
        if now - self._failing_since.setdefault(what, now) > _WORN_SECONDS and not is_renewing:
            self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        consumer = self._new_consumer()
        try:
            await self._start(consumer)
        except KafkaUnavailableError:
            return
        worn, self._consumer = self._consumer, consumer
        self._next = {}
        self._failing_since.clear()
        await _stop_quietly(worn)

    async def end(self, partition: int, *, at_least: int = 0) -> int:
        """The offset after the last record.

        KafkaUnavailableError also if that is before `at_least`, where the caller knows that a record was; once
        it was so for long it is answered as it is.
        """
        end = (await self._ends([self._partitions[partition]]))[partition]
        if end < at_least and not self._is_lost(partition, at_least):
            raise KafkaUnavailableError(f"partition {partition} is said to end at {end}, before {at_least}")
        self._is_there(partition, end)
        return end

    async def begin(self, partition: int) -> int:
        """The offset of the first record that is still kept; the end if none is."""
        where = self._partitions[partition]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return int((await self._consumer.beginning_offsets([where]))[where])
        except CLIENT_FAILURES as error:
            self._fails("begin")
            raise KafkaUnavailableError(f"beginning offsets: {type(error).__name__}") from None

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record, by partition."""
        return await self._ends(self._partitions)

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[KafkaMessage]:
        """Messages from `offset` on, in order; none if nothing came within the wait."""
        where, consumer, standing = self._partitions[partition], self._consumer, self._next
        messages: Sequence[Any] = ()
        try:
            if standing.get(where) != offset:
                consumer.seek(where, offset)
            standing[where] = None
            if self._pauses:
                consumer.resume(where)
            try:
                batches = await consumer.getmany(
                    where, timeout_ms=int(wait_seconds * 1000), max_records=_BATCH_RECORDS
                )
            finally:
                if self._pauses:
                    consumer.pause(where)
            messages = batches.get(where, [])
        except OffsetOutOfRangeError:
            reason = f"offset {offset} of {where.topic}-{partition} is out of range"
            is_deleted = offset < await self.begin(partition)
            if is_deleted or self._is_lost(partition, offset):
                raise KafkaOffsetLostError(reason) from None
            self._fails(f"read {partition}")
            raise KafkaUnavailableError(reason) from None
        except CLIENT_FAILURES as error:
            self._fails(f"read {partition}")
            raise KafkaUnavailableError(f"fetch: {type(error).__name__}") from None
        if messages or offset >= self._ends_told.get(where, 0):
            self._works(f"read {partition}")
        else:
            self._fails(f"read {partition}")
        standing[where] = messages[-1].offset + 1 if messages else offset
        if messages:
            self._is_there(partition, messages[-1].offset + 1)
        return [
            KafkaMessage(offset=m.offset, key=m.key, value=m.value, headers=tuple(m.headers))
            for m in messages
        ]

    def _is_lost(self, partition: int, offset: int) -> bool:
        """Note that an offset was said not to be there, and tell whether that is so for too long to be a mistake."""
        now = asyncio.get_running_loop().time()
        known = self._missing.get(partition)
        if known is None or offset < known[0]:
            known = self._missing[partition] = (offset, now)
        return now - known[1] > _DEPOSED_SECONDS

    def _is_there(self, partition: int, end: int) -> None:
        if end >= self._missing.get(partition, (end + 1, 0.0))[0]:
            del self._missing[partition]

    async def position(self, partition: int) -> int:
        """The offset that will be read next, which runs ahead of the last message where others were compacted."""
        async with asyncio.timeout(self._timeout_seconds):
            return int(await self._consumer.position(self._partitions[partition]))

    async def _ends(self, partitions: list[TopicPartition]) -> Mapping[int, int]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                ends = await self._consumer.end_offsets(partitions)
        except CLIENT_FAILURES as error:
            self._fails("ends")
            raise KafkaUnavailableError(f"end offsets: {type(error).__name__}") from None
        self._works("ends")
        self._ends_told.update(ends)
        return {partition.partition: int(end) for partition, end in ends.items()}


async def _stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop within a bound. A client that failed may fail again at its end, and nothing hangs on that.

    A producer first tries to deliver what it still holds. Where that takes too long it is left undelivered, and
    what the library would leave open and running then is closed here.
    """
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await client.stop()
    except CLIENT_FAILURES:
        with contextlib.suppress(*CLIENT_FAILURES):
            async with asyncio.timeout(_STOP_SECONDS):
                if isinstance(client, AIOKafkaProducer):
                    await client._sender.close()  # noqa: SLF001  # nothing public stops it without a delivery
                    await client.client.close()
                else:
                    await client._client.close()  # noqa: SLF001  # as above
