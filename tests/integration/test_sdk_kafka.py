"""The feed on a real Kafka is one, and says so where there is none."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from chancery_sdk.events import Record
from chancery_sdk.feed import FeedUnavailableError
from chancery_sdk.kafka import open_feed
from chancery_sdk.testing import MemoryFeed
from localstack.stack import StackInfo
from tests.conformance.feed_suite import FeedSuite, Stage
from tests.support.broker import Broker, nobody_there


class TestKafkaFeed(FeedSuite):
    @pytest.fixture
    async def stage(self, projector_stack: StackInfo) -> AsyncIterator[Stage]:
        broker = Broker(projector_stack.home, projector_stack.kafka)
        topic = (await broker.new_topics()).public
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)

        async def store(record: Record) -> None:
            await producer.send_and_wait(
                topic, record.value, headers=list(record.headers), partition=record.partition
            )

        async def forget(partition: int, before: int) -> None:
            records = RecordsToDelete(before_offset=before)
            await admin.delete_records({TopicPartition(topic, partition): records})

        async with producer, open_feed(broker.bootstrap, topic=topic) as feed:
            await admin.start()
            try:
                yield Stage(feed=feed, told=MemoryFeed(2), store=store, forget=forget)
            finally:
                await admin.close()


async def test_without_a_broker_it_says_so() -> None:
    with pytest.raises(FeedUnavailableError, match="Kafka at"):
        async with open_feed(nobody_there()):
            pass
