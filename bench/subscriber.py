"""How fast a subscriber of the SDK handles what the relay has told, on one partition, with a handler that does nothing.

Alone with its place in its own PostgreSQL, and as the member of a consumer group that commits its place to Kafka.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.relay import TOPICS
from chancery_sdk.commits import KafkaCheckpoints
from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.kafka_group import KafkaGroup
from chancery_sdk.postgres import PostgresCheckpoints
from chancery_sdk.subscriber import Subscriber
from localstack.stack import StackInfo

PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class Watch:
    """Seconds of time, and of this process's CPU, from the first event that is handled until all of them are."""

    wanted: int
    count: int = 0
    began: float = 0.0
    began_cpu: float = 0.0

    def handled(self) -> bool:
        """One more; whether it is the last."""
        if self.count == 0:
            self.began, self.began_cpu = time.perf_counter(), time.process_time()
        self.count += 1
        return self.count == self.wanted

    def rates(self, name: str) -> dict[str, float]:
        elapsed, used = time.perf_counter() - self.began, time.process_time() - self.began_cpu
        return {
            f"{name}_events_per_second": round(self.wanted / elapsed),
            f"{name}_events_per_cpu_second": round(self.wanted / used),
        }


async def sdk_events_per_second(stack: StackInfo, events: int) -> dict[str, float]:
    """The topic is the one that `bench.relay` has filled. To join a group takes seconds, and is not counted."""
    group = KafkaGroup(stack.kafka, "bench", topic=TOPICS.public)
    async with (
        asyncpg.create_pool(stack.postgres_dsn, min_size=1, max_size=4) as pool,
        open_feed(stack.kafka, topic=TOPICS.public) as feed,
        open_feed(stack.kafka, topic=TOPICS.public) as shared,
    ):
        checkpoints = PostgresCheckpoints(pool, "bench")
        await checkpoints.create_tables()
        alone = await _rates(Subscriber(feed, checkpoints), "sdk", events)
        member = Subscriber(shared, KafkaCheckpoints(group), partitions=group)
        return {"events": events, **alone, **await _rates(member, "sdk_group", events)}


async def _rates(subscriber: Subscriber[Any], name: str, events: int) -> dict[str, float]:
    watch = Watch(wanted=events)

    @subscriber.on("chancery.session.refreshed.v1")
    async def handle(_: Event, __: Any) -> None:
        if watch.handled():
            subscriber.stop()

    async with asyncio.timeout(PATIENCE_SECONDS):
        await subscriber.run()
    return watch.rates(name)
