"""Making topics while brokers are slow to hear of them."""

from collections import Counter

from eventstore.provision import Topics, create_topics
from runtime.kafka_admin import KafkaAdmin, TopicSpec

TOPICS = Topics(events="events", keys="keys", public="public", partitions=8, replication_factor=1)


class SlowAdmin(KafkaAdmin):
    """Knows a topic only when it is asked about it for the third time."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.asked: Counter[str] = Counter()

    async def create(self, spec: TopicSpec) -> None:
        self.made.append(spec.name)

    async def partition_count(self, topic: str) -> int:
        self.asked[topic] += 1
        return TOPICS.partitions if topic in self.made and self.asked[topic] > 2 else 0


async def test_topics_are_known_when_they_are_said_to_be_made() -> None:
    admin = SlowAdmin()
    await create_topics(admin, TOPICS)
    assert admin.made == ["events", "keys", "public"]
    assert [await admin.partition_count(name) for name in admin.made] == [8, 8, 8]
