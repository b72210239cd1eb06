"""A process of a service that shares the feed in a group, to be killed: it notes every event with its own name.

Run as `python -m tests.support.group_member BOOTSTRAP TOPIC GROUP DSN NAME postgres|kafka`. SIGTERM ends it gracefully.
"""

import asyncio
import signal
import sys
from typing import Any

import asyncpg

from chancery_sdk.commits import Handled, KafkaCheckpoints
from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.kafka_group import KafkaGroup
from chancery_sdk.postgres import PostgresCheckpoints, Transaction
from chancery_sdk.subscriber import Subscriber

VERIFIED = "chancery.account.verified.v1"
IDLE_SECONDS = 5.0
NOTE = "insert into notes (event_id, member) values ($1, $2)"


async def main(bootstrap: str, topic: str, group_name: str, dsn: str, name: str, store: str) -> None:
    group = KafkaGroup(bootstrap, group_name, topic=topic)
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=8, command_timeout=10) as pool,
        open_feed(bootstrap, topic=topic) as feed,
    ):
        subscriber: Subscriber[Any]
        if store == "postgres":
            checkpoints = PostgresCheckpoints(pool, group_name, idle_seconds=IDLE_SECONDS)
            subscriber = Subscriber(feed, checkpoints, partitions=group)

            @subscriber.on(VERIFIED)
            async def note_in_transaction(event: Event, tx: Transaction) -> None:
                await tx.execute(NOTE, event.id, name)
        else:
            subscriber = Subscriber(feed, KafkaCheckpoints(group), partitions=group)

            @subscriber.on(VERIFIED)
            async def note(event: Event, _: Handled) -> None:
                await pool.execute(NOTE, event.id, name)

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, subscriber.stop)
        await subscriber.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
