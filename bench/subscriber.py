"""How fast a subscriber of the SDK handles what the relay has told, on one partition, in its own PostgreSQL."""

import asyncio
import time

import asyncpg

from bench.relay import TOPICS
from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.postgres import PostgresCheckpoints, Transaction
from chancery_sdk.subscriber import Subscriber
from localstack.stack import StackInfo

PATIENCE_SECONDS = 300.0


async def sdk_events_per_second(stack: StackInfo, events: int) -> dict[str, float]:
    """Events per second of time, and of this process's CPU. The topic is the one that `bench.relay` has filled."""
    count = 0
    async with (
        asyncpg.create_pool(stack.postgres_dsn, min_size=1, max_size=4) as pool,
        open_feed(stack.kafka, topic=TOPICS.public) as feed,
    ):
        checkpoints = PostgresCheckpoints(pool, "bench")
        await checkpoints.create_tables()
        subscriber = Subscriber(feed, checkpoints)

        @subscriber.on("chancery.session.refreshed.v1")
        async def handle(_: Event, __: Transaction) -> None:
            nonlocal count
            count += 1
            if count == events:
                subscriber.stop()

        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await subscriber.run()
        elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    return {
        "events": events,
        "sdk_events_per_second": round(events / elapsed),
        "sdk_events_per_cpu_second": round(events / used),
    }
