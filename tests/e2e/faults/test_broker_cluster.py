"""Three brokers, each commit on two of them: any one may die or sleep, leaders and writers too, and nothing is lost."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from localstack.ports import BROKERS, free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from tests.e2e.conftest import open_chancery
from tests.e2e.faults.conftest import judged
from tests.support.chancery import Chancery, until_ready
from tests.support.daily_life import Life, health_urls
from tests.support.letters import Letters
from tests.support.processes import life_now, life_of, paused
from tests.support.replicas import QUICK, Replica, fleet
from tests.support.soak import record, times
from tests.support.tasks import eventually, running
from tests.support.unlimited import UNLIMITED

NAMES = ["kafka", "kafka_2", "kafka_3"]
PEOPLE = 4
KILLS = 2
SLEEP_SECONDS = (2.0, 8.0)
BACK_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("brokers")
    environment = {**os.environ, **UNLIMITED, **free_port_variables(), BROKERS: "3"}
    try:
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def cluster(cluster_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(cluster_stack) as opened:
        yield opened


@pytest.fixture(scope="module")
async def replicas(cluster: Chancery) -> AsyncIterator[list[Replica]]:
    async with fleet(cluster, 2, QUICK) as started:
        yield started


def lives(cluster: Chancery, replicas: list[Replica]) -> Life:
    return Life.among([replica.chancery for replica in replicas], Letters(cluster.home))


async def until_judged(cluster: Chancery, life: Life, proof: str, trials: int) -> None:
    for url in health_urls(cluster):
        await until_ready(cluster.http, url)
    await life.settle()
    outcomes = await judged(cluster, life.history)
    await life.judge_reads(cluster)
    record(proof, trials, **outcomes)


async def kill_broker(cluster: Chancery, name: str) -> None:
    """And wait until another life of it answers."""
    before = life_of(cluster.home, name)
    before.kill()

    async def is_back() -> bool:
        now = life_now(cluster.home, name)
        return now is not None and now != before and now.is_ready

    await eventually(is_back, within_seconds=BACK_SECONDS)


@pytest.mark.timeout(300 * times(1))
async def test_each_broker_is_killed_under_load(cluster: Chancery, replicas: list[Replica]) -> None:
    """Each leads some of the partitions."""
    life = lives(cluster, replicas)
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for _ in range(times(KILLS)):
            for name in NAMES:
                await kill_broker(cluster, name)
                await life.until_everybody_did_something(PEOPLE)
    await until_judged(cluster, life, "kill -9 of a broker of three", times(KILLS) * len(NAMES))


@pytest.mark.timeout(300 * times(1))
async def test_each_broker_sleeps_under_load(cluster: Chancery, replicas: list[Replica]) -> None:
    life, chance = lives(cluster, replicas), random.Random()
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for name in NAMES * times(1):
            async with paused(life_of(cluster.home, name).pid):
                await asyncio.sleep(chance.uniform(*SLEEP_SECONDS))
            await life.until_everybody_did_something(PEOPLE)
    await until_judged(cluster, life, "SIGSTOP of a broker of three", times(1) * len(NAMES))


@pytest.mark.timeout(300 * times(1))
async def test_writers_are_killed_and_sleep_while_a_broker_dies(
    cluster: Chancery, replicas: list[Replica]
) -> None:
    life, chance = lives(cluster, replicas), random.Random()
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for number in range(times(KILLS)):
            victim, sleeper = replicas[number % 2], replicas[(number + 1) % 2]
            broker = asyncio.create_task(kill_broker(cluster, NAMES[number % len(NAMES)]))
            await victim.kill()
            await victim.start()
            await broker
            await victim.until_ready()
            async with paused(sleeper.pid):
                await asyncio.sleep(chance.uniform(*SLEEP_SECONDS) / 2)
            await life.until_everybody_did_something(PEOPLE)
    await until_judged(cluster, life, "writers and a broker of three", 2 * times(KILLS))
