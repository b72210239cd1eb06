"""Tells other services what happened: facts become public events, one to one by partition, in order, without a gap.

The public topic is the relay's only memory. It reads there which event came last, finds that event's commit in
the log, and goes on after it. Relays share the partitions by locks, which only saves work: two at once, or one
that wakes up late, repeat events under the same ids and put nothing out of order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from events.public import catalogue
from events.public.envelope import Bookmark, Envelope, Place, render, source_of
from events.public.mapping import PUBLISHED, to_public
from eventstore.chain import Head
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.log import Log
from projectors.bookmark import head_before
from projectors.follower import Batch, Follower, OpenedCommit, read_log_id
from projectors.keep_going import Course, keep_going, stop_if_cancelled
from projectors.metrics import Metrics
from projectors.public_topic import PublicTopic
from projectors.traces import leave_spans
from projectors.turns import Sharing, Turns
from runtime.health import Health
from runtime.kafka_batches import KafkaRecord
from runtime.postgres import Connection, PostgresUnavailableError

IDLE_SECONDS = 0.5
STALL_SECONDS = 5.0


class Relay:
    def __init__(
        self,
        log: Log,
        public: PublicTopic,
        sharing: Sharing,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._log = log
        self._public = public
        self._metrics = metrics
        self._courses = [Course("relay", n, health, metrics) for n in range(log.partitions)]
        for course in self._courses:
            course.waits("has not reached the end of the log yet")
        self._session = Course("relay-session", 0, health, metrics)
        self._turns = Turns(sharing, self._session, self._courses, self._keep_relaying)

    async def run(self) -> None:
        """Until cancelled."""
        await keep_going(self._session, lambda: asyncio.create_task(self._turns.take()))

    async def _keep_relaying(self, _: Connection, course: Course) -> None:
        await keep_going(course, partial(self._follow, course), (PostgresUnavailableError,))

    async def _follow(self, course: Course) -> None:
        """From where the public topic ends, for as long as every outcome is known."""
        number = course.partition
        log_id = await read_log_id(self._log, number)
        last = await self._public.last_place(number)
        narrator = Narrator(number, log_id, last)
        head = Head() if last is None else await head_before(self._log, number, last)
        follower = Follower(self._log, None, number, head, frozenset(PUBLISHED))
        lag, loop = self._metrics.lag.labels("relay", str(number)), asyncio.get_running_loop()
        moved_at = loop.time()
        while not course.is_resting:
            stop_if_cancelled()
            end = await self._log.end(number, at_least=follower.head.next_offset)
            lag.set(end - follower.head.next_offset)
            if follower.head.next_offset >= end:
                course.reached_end()
            batch = await follower.next(wait_seconds=IDLE_SECONDS)
            if batch is not None:
                began = time.time_ns()
                await self._publish(number, narrator.records(batch))
                leave_spans("publish", "relay", batch, began)
            if batch is not None or follower.head.next_offset >= end:
                moved_at = loop.time()
            elif loop.time() - moved_at > STALL_SECONDS:
                raise UnavailableError(f"the log cannot be read on from offset {follower.head.next_offset}")

    async def _publish(self, number: int, told: list[tuple[str, KafkaRecord]]) -> None:
        while told:
            stop_if_cancelled()
            stored = await self._public.publish(number, [record for _, record in told])
            for name, count in Counter(name for name, _ in told[:stored]).items():
                self._metrics.relayed.labels(name).inc(count)
            told = told[stored:]


class Narrator:
    """Makes the records of one partition, each numbered after the one before, from the last that is published on."""

    def __init__(self, partition: int, log_id: str, last: Place | None) -> None:
        if last is not None and last.source != source_of(log_id):
            reason = (
                f"the public topic holds events of {last.source}, and this log is {source_of(log_id)}; point "
                "CHANCERY_PUBLIC_TOPIC to a topic of its own"
            )
            raise CorruptLogError(partition, 0, reason)
        self._partition = partition
        self._log_id = log_id
        self._sequence = 0 if last is None else last.sequence
        self._last = (0, -1) if last is None else last.order

    def records(self, batch: Batch) -> list[tuple[str, KafkaRecord]]:
        """Types and records of what is to be published of these commits."""
        return [told for commit in batch.commits for told in self._told(commit)]

    def _told(self, commit: OpenedCommit) -> Iterator[tuple[str, KafkaRecord]]:
        head = Bookmark(offset=commit.head.next_offset - 1, hash=commit.head.hash)
        for fact in commit.facts:
            event = to_public(fact.stream, fact.event)
            if event is None or (fact.position.seq, fact.number) <= self._last:
                continue
            self._sequence += 1
            envelope = Envelope(
                log_id=self._log_id,
                partition=self._partition,
                seq=fact.position.seq,
                number=fact.number,
                sequence=self._sequence,
                type=event.type,
                dataschema=catalogue.dataschema_of(event.type),
                subject=event.subject,
                at=fact.at,
                trace=fact.trace,
                head=head,
            )
            yield (
                event.type,
                KafkaRecord(
                    key=event.subject.encode(), value=catalogue.encode(event), headers=render(envelope)
                ),
            )
