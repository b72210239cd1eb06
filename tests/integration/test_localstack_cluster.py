"""A local Kafka of three brokers: what is acknowledged is on two of them, and one may die at any moment."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from eventstore.errors import AppendUnknownError
from eventstore.kafka_log import KafkaLog
from eventstore.provision import Topics, create_topics
from localstack.errors import StackError
from localstack.ports import BROKERS, free_port_variables
from localstack.stack import StackInfo, ask_processes, running_stack, start_stack, stop_stack
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from tests.support.broker import opened
from tests.support.tasks import eventually

NAMES = ["kafka", "kafka_2", "kafka_3"]
HEAL_SECONDS = 40.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, **free_port_variables(), BROKERS: "3"}
    try:
        yield start_stack(home, environment, selection="infra", lifetime="caller")
    finally:
        began = time.monotonic()
        stop_stack(home)
        assert time.monotonic() - began < 30


def topics_of(name: str) -> Topics:
    return Topics(
        events=f"{name}-events",
        keys=f"{name}-keys",
        public=f"{name}-public",
        partitions=4,
        replication_factor=3,
    )


async def made(cluster: StackInfo, name: str) -> Topics:
    topics = topics_of(name)
    async with open_admin(KafkaAccess(cluster.kafka)) as admin:
        await create_topics(admin, topics)
    return topics


def pid_of(cluster: StackInfo, name: str) -> int | None:
    state = running_stack(cluster.home)
    assert state is not None
    return state.processes[name].pid


def test_the_bootstrap_lists_three_brokers_each_its_own_process(cluster: StackInfo) -> None:
    assert len(cluster.kafka.split(",")) == 3
    assert [name for name in cluster.processes if name.startswith("kafka")] == NAMES
    assert len({cluster.processes[name].pid for name in NAMES}) == 3
    assert cluster.settings["CHANCERY_REPLICATION_FACTOR"] == "3"


async def test_every_broker_answers(cluster: StackInfo) -> None:
    state = running_stack(cluster.home)
    assert state is not None
    answers = await ask_processes(cluster.home, state)
    assert [answers[name] for name in NAMES] == [True, True, True]


async def test_topics_are_on_three_brokers_and_need_two(cluster: StackInfo) -> None:
    topics = await made(cluster, "placed")
    async with open_admin(KafkaAccess(cluster.kafka)) as admin:
        assert (await admin.settings(topics.events))["min.insync.replicas"] == "2"
    client = AIOKafkaAdminClient(bootstrap_servers=cluster.kafka)
    await client.start()

    async def are_everywhere() -> bool:
        """Also by what a broker tells that learns of new topics a moment after the others."""
        described = await client.describe_topics([topics.events, topics.keys])
        replicas = [sorted(one["replicas"]) for topic in described for one in topic["partitions"]]
        return replicas == [[1, 2, 3]] * 8

    try:
        await eventually(are_everywhere)
    finally:
        await client.close()


@pytest.mark.parametrize("name", NAMES)
async def test_one_killed_broker_stops_nobody_and_comes_back(cluster: StackInfo, name: str) -> None:
    topics = await made(cluster, f"killed-{name.replace('_', '-')}")
    acknowledged: list[tuple[int, int, bytes]] = []
    before = pid_of(cluster, name)
    assert before is not None
    async with opened(KafkaLog(KafkaAccess(cluster.kafka), topics.events, 4, timeout_seconds=5)) as log:
        await append_to_all(log, b"before", acknowledged)
        os.kill(before, signal.SIGKILL)
        await append_to_all(log, b"meanwhile", acknowledged)

        async def is_back() -> bool:
            state = running_stack(cluster.home)
            assert state is not None
            is_new = state.processes[name].pid not in (None, before)
            return is_new and (await ask_processes(cluster.home, state))[name]

        await eventually(is_back, within_seconds=HEAL_SECONDS)
        await append_to_all(log, b"after", acknowledged)
        for partition, offset, value in acknowledged:
            (record, *_) = await log.read(partition, offset, wait_seconds=5)
            assert record.value == value
    assert len(acknowledged) == 12


async def append_to_all(log: KafkaLog, value: bytes, acknowledged: list[tuple[int, int, bytes]]) -> None:
    """One record to each partition, again and again until it is acknowledged."""
    for partition in range(4):
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                try:
                    offset = await log.append(partition, b"k", value)
                except AppendUnknownError:
                    continue
                acknowledged.append((partition, offset, value))
                break


def test_a_home_keeps_its_number_of_brokers(tmp_path: Path) -> None:
    (tmp_path / "kafka_cluster").write_text("3 an-id")
    with pytest.raises(StackError, match=r"was made with 3 broker\(s\), not 1"):
        start_stack(tmp_path, {**os.environ, **free_port_variables()}, selection="infra", lifetime="caller")
