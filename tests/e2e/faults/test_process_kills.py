"""kill -9, sleep and amnesia of every process under load: rules 1 to 5, 7, 9 and 10 hold, and it is ready soon."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from tests.e2e.faults.conftest import judged
from tests.support.chancery import Chancery, until_ready
from tests.support.daily_life import Life, health_urls
from tests.support.letters import Letters
from tests.support.processes import forget_valkey, life_now, life_of, paused
from tests.support.replicas import QUICK, Replica, fleet
from tests.support.soak import record, times
from tests.support.tasks import eventually, running

OWN = ["command", "query", "projectors", "mailer", "relay", "risk"]
STORES = ["kafka", "postgres", "valkey"]
KILLS = dict.fromkeys(OWN, 5) | dict.fromkeys(["risk", *STORES], 2)
PEOPLE = 4
BETWEEN_SECONDS = (0.3, 1.5)
BACK_SECONDS = 40.0
SLEEP_SECONDS = (1.0, 4.0)
SLEEPS = 2
FLUSHES = 2


async def until_all_ready(arena: Chancery) -> None:
    for url in health_urls(arena):
        await until_ready(arena.http, url)


@pytest.mark.parametrize("name", [*OWN, *STORES])
@pytest.mark.timeout(300 * times(1))
async def test_killing_a_process_again_and_again_loses_and_doubles_nothing(
    arena: Chancery, name: str
) -> None:
    life, chance, back = Life.among([arena], Letters(arena.home)), random.Random(), []
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for _ in range(times(KILLS[name])):
            await asyncio.sleep(chance.uniform(*BETWEEN_SECONDS))
            before, began = life_of(arena.home, name), time.monotonic()
            before.kill()

            async def is_back(before: object = before) -> bool:
                now = life_now(arena.home, name)
                return now is not None and now != before and now.is_ready

            await eventually(is_back, within_seconds=BACK_SECONDS)
            back.append(round(time.monotonic() - began, 1))
            await life.until_everybody_did_something(PEOPLE)
    await until_all_ready(arena)
    await life.settle()
    outcomes = await judged(arena, life.history)
    await life.judge_reads(arena)
    record(f"kill -9 {name}", len(back), slowest_return_seconds=max(back), **outcomes)


@pytest.mark.timeout(300 * times(1))
async def test_a_flushed_valkey_is_rebuilt_and_revives_no_session(arena: Chancery) -> None:
    life = Life.among([arena], Letters(arena.home))
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for _ in range(times(FLUSHES)):
            await life.until_everybody_did_something(PEOPLE)
            forget_valkey(arena.settings["CHANCERY_REDIS_URL"])
            await life.judge_reads(arena)
    await until_all_ready(arena)
    await life.settle()
    await life.judge_reads(arena)
    record("valkey flushed", times(FLUSHES), **await judged(arena, life.history))


@pytest.fixture(scope="module")
async def replicas(arena: Chancery) -> AsyncIterator[list[Replica]]:
    async with fleet(arena, 2, QUICK) as started:
        yield started


@pytest.mark.timeout(300 * times(1))
async def test_a_writer_that_wakes_as_a_zombie_writes_and_acknowledges_nothing_of_its_own(
    arena: Chancery, replicas: list[Replica]
) -> None:
    """It sleeps in the middle of its work, the other one goes on, and then it speaks again."""
    life, chance = Life.among([one.chancery for one in replicas], Letters(arena.home)), random.Random()
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for number in range(times(SLEEPS)):
            async with paused(replicas[number % 2].pid):
                await asyncio.sleep(chance.uniform(*SLEEP_SECONDS))
            await life.until_everybody_did_something(PEOPLE)
    await life.settle()
    outcomes = await judged(arena, life.history)
    await life.judge_reads(arena)
    record("SIGSTOP of a writer", times(SLEEPS), **outcomes)


@pytest.mark.parametrize("name", ["kafka", "postgres", "valkey", "projectors", "relay"])
@pytest.mark.timeout(300 * times(1))
async def test_a_process_that_sleeps_for_a_while_harms_nobody(arena: Chancery, name: str) -> None:
    life, chance = Life.among([arena], Letters(arena.home)), random.Random()
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        await life.until_everybody_did_something(PEOPLE)
        for _ in range(times(SLEEPS)):
            async with paused(life_of(arena.home, name).pid):
                await asyncio.sleep(chance.uniform(*SLEEP_SECONDS))
            await life.until_everybody_did_something(PEOPLE)
    await until_all_ready(arena)
    await life.settle()
    outcomes = await judged(arena, life.history)
    await life.judge_reads(arena)
    record(f"SIGSTOP of {name}", times(SLEEPS), **outcomes)
