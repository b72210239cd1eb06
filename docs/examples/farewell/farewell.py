"""A service without a database: it notes each closed account as a file, so that something else may forget the person.

As many processes as you like share the work. Its place is a commit in Kafka, so after a crash some events come again:
writing the same file twice does no harm.
"""

import asyncio
import os
import signal
from pathlib import Path

from chancery_sdk.commits import Handled, KafkaCheckpoints
from chancery_sdk.events import Event
from chancery_sdk.kafka import TOPIC, open_feed
from chancery_sdk.kafka_group import KafkaGroup
from chancery_sdk.subscriber import Subscriber

FOLDER = Path(os.environ["FAREWELL_FOLDER"])


async def note(event: Event, _: Handled) -> None:
    (FOLDER / event.data["account_id"]).touch()


async def main() -> None:
    kafka = os.environ["CHANCERY_KAFKA_BOOTSTRAP"]
    topic = os.environ.get("CHANCERY_PUBLIC_TOPIC", TOPIC)
    group = KafkaGroup(kafka, "farewell", topic=topic)
    async with open_feed(kafka, topic=topic) as feed:
        subscriber = Subscriber(feed, KafkaCheckpoints(group), partitions=group)
        subscriber.on("chancery.account.closed.v1")(note)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, subscriber.stop)
        print("Closed accounts are noted. Ctrl-C ends it.", flush=True)
        await subscriber.run()


if __name__ == "__main__":
    asyncio.run(main())
