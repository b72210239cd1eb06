"""Provisioning a real Kafka: what is missing is made, what could lose history is refused with a sentence."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.api import Response

from eventstore.commit import Genesis, encode
from eventstore.errors import UnsafeTopicError
from eventstore.kafka_log import KafkaLog
from eventstore.provision import (
    Topics,
    create_topics,
    verify_topics,
    write_genesis,
)
from localstack.stack import StackInfo
from runtime.clock import utc_now
from runtime.kafka import KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import KafkaAdmin, open_admin
from tests.conformance.log_suite import read_to_end
from tests.support.broker import Broker, nobody_there, opened, topic_names
from tests.support.chains import AT, LOG_ID

TIDINGS_WITHOUT_CONTROLLER = 3
SAFE = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
}


@pytest.fixture
def broker(projector_stack: StackInfo) -> Broker:
    return Broker(projector_stack.home, projector_stack.kafka)


@pytest.fixture
async def topics(broker: Broker) -> Topics:
    return await broker.new_topics()


async def verified(broker: Broker, topics: Topics) -> None:
    async with open_admin(KafkaAccess(broker.bootstrap)) as admin:
        await verify_topics(admin, topics, topics.events, topics.keys)


async def refusal(broker: Broker, topics: Topics) -> str:
    with pytest.raises(UnsafeTopicError) as refused:
        await verified(broker, topics)
    return str(refused.value)


async def test_topics_that_were_made_here_are_safe(broker: Broker, topics: Topics) -> None:
    await verified(broker, topics)


class ElectingCluster(ClusterMetadata):  # type: ignore[misc]  # the library has no types
    """A real cluster, as it looks while it elects its controller: there is none in the first tidings."""

    def __init__(self) -> None:
        super().__init__(metadata_max_age_ms=300_000)
        self.tidings = 0

    def update_metadata(self, metadata: Response) -> None:
        super().update_metadata(metadata)
        self.tidings += 1
        if self.tidings <= TIDINGS_WITHOUT_CONTROLLER:
            self.controller = None


async def test_topics_wait_for_a_cluster_that_elects_its_controller(broker: Broker) -> None:
    client, cluster, topics = (
        AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap),
        ElectingCluster(),
        topic_names(),
    )
    client._client.cluster = cluster  # noqa: SLF001  # the library lets nobody else hand it in
    await client.start()
    try:
        await create_topics(KafkaAdmin(client), topics)
    finally:
        await client.close()
    assert cluster.tidings > TIDINGS_WITHOUT_CONTROLLER
    await verified(broker, topics)


async def test_making_topics_again_changes_nothing(broker: Broker, topics: Topics) -> None:
    await broker.change(topics.events, {**SAFE, "retention.ms": "1000"})
    async with open_admin(KafkaAccess(broker.bootstrap)) as admin:
        await asyncio.gather(*(create_topics(admin, topics) for _ in range(2)))
    assert "retention.ms=1000" in await refusal(broker, topics)


async def test_a_topic_that_is_missing_is_named_with_what_makes_it(broker: Broker) -> None:
    missing = topic_names()
    sentence = f"topic {missing.events} does not exist; run `chancery provision`"
    assert await refusal(broker, missing) == sentence


async def test_a_missing_key_topic_is_found_too(broker: Broker, topics: Topics) -> None:
    missing = replace(topics, keys=topic_names().keys)
    assert await refusal(broker, missing) == f"topic {missing.keys} does not exist; run `chancery provision`"


@pytest.mark.parametrize("partitions", [1, 3])
async def test_another_number_of_partitions_is_refused(
    broker: Broker, topics: Topics, partitions: int
) -> None:
    assert await refusal(broker, replace(topics, partitions=partitions)) == (
        f"topic {topics.events} has 2 partitions and CHANCERY_PARTITIONS says {partitions}; "
        "the number is fixed when the log is made"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("unclean.leader.election.enable", "true"),
    ],
)
async def test_abuse_l6_a_log_that_could_lose_history_is_refused(
    broker: Broker, topics: Topics, name: str, value: str
) -> None:
    await broker.change(topics.events, {**SAFE, name: value})
    assert await refusal(broker, topics) == (
        f"topic {topics.events} has {name}={value}, which can lose history; set it to {SAFE[name]}"
    )
    await broker.change(topics.events, SAFE)
    await verified(broker, topics)


async def test_abuse_l6_keys_that_could_be_dropped_are_refused(broker: Broker, topics: Topics) -> None:
    await broker.change(topics.keys, SAFE)
    assert await refusal(broker, topics) == (
        f"topic {topics.keys} has cleanup.policy=delete, which can lose history; set it to compact"
    )


async def public_refusal(broker: Broker, topics: Topics) -> str:
    async with open_admin(KafkaAccess(broker.bootstrap)) as admin:
        with pytest.raises(UnsafeTopicError) as refused:
            await verify_topics(admin, topics, topics.public)
    return str(refused.value)


async def test_the_public_topic_may_forget_what_is_old_and_nothing_in_between(
    broker: Broker, topics: Topics
) -> None:
    await broker.change(topics.public, {**SAFE, "retention.ms": "604800000"})
    async with open_admin(KafkaAccess(broker.bootstrap)) as admin:
        await verify_topics(admin, topics, topics.public)
    await broker.change(topics.public, {**SAFE, "cleanup.policy": "compact"})
    assert await public_refusal(broker, topics) == (
        f"topic {topics.public} has cleanup.policy=compact, which can lose history; set it to delete"
    )


async def test_a_public_topic_that_is_missing_or_of_another_size_is_refused(
    broker: Broker, topics: Topics
) -> None:
    missing = replace(topics, public=topic_names().public)
    sentence = f"topic {missing.public} does not exist; run `chancery provision`"
    assert await public_refusal(broker, missing) == sentence
    assert f"topic {topics.public} has 2 partitions" in await public_refusal(
        broker, replace(topics, partitions=3)
    )
    await verified(broker, missing)


async def test_a_topic_that_cannot_be_made_says_why(broker: Broker) -> None:
    wanted = replace(topic_names(), replication_factor=3)
    async with open_admin(KafkaAccess(broker.bootstrap)) as admin:
        with pytest.raises(KafkaUnavailableError, match=f"cannot create topic {wanted.events}: .*eplication"):
            await create_topics(admin, wanted)


async def test_where_no_broker_is_the_address_is_named() -> None:
    bootstrap = nobody_there()
    with pytest.raises(KafkaUnavailableError, match=f"Kafka at {bootstrap}: "):
        async with open_admin(KafkaAccess(bootstrap)):
            raise AssertionError


async def test_two_provisioners_at_once_write_one_log(broker: Broker, topics: Topics) -> None:
    async with (
        opened(KafkaLog(KafkaAccess(broker.bootstrap), topics.events, 2, timeout_seconds=10)) as one,
        opened(KafkaLog(KafkaAccess(broker.bootstrap), topics.events, 2, timeout_seconds=10)) as two,
    ):
        first, second = await asyncio.gather(write_genesis(one, utc_now), write_genesis(two, utc_now))
        assert first == second == await write_genesis(one, utc_now)
        ends = [await one.end(partition) for partition in range(2)]
        assert await write_genesis(two, utc_now) == first
        assert [await one.end(partition) for partition in range(2)] == ends
        (genesis, *void) = await read_to_end(one, 0)
        assert f'"log":"{first}"'.encode() in (genesis.value or b"")
        assert len(void) <= 1


async def test_a_partition_of_another_log_is_refused(broker: Broker, topics: Topics) -> None:
    async with opened(KafkaLog(KafkaAccess(broker.bootstrap), topics.events, 2, timeout_seconds=10)) as log:
        foreign = Genesis.of(log_id=LOG_ID, partition=1, partitions=2, at=AT)
        await log.append(1, b"genesis", encode(foreign))
        with pytest.raises(UnsafeTopicError, match=f"partition 1 belongs to log {LOG_ID}, not to"):
            await write_genesis(log, utc_now)
