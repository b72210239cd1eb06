"""Every way in which a link fails between a command process and Kafka or PostgreSQL: 503 in time, and it heals."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.faults.conftest import judged
from tests.support.chancery import Chancery, Person
from tests.support.history import Command, History
from tests.support.link import Link, Weather, link_to
from tests.support.replicas import QUICK, RIVALS, Replica, fleet
from tests.support.soak import record, times

ANSWER_SECONDS = 4.0
"""The deadline is two seconds; the rest is for a machine that does other things as well."""
HEAL_SECONDS = 5.0
BAD_SECONDS = 3.0
ASKING_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A command process that reaches its stores through these links."""

    replica: Replica
    links: dict[str, Link]


@pytest.fixture(scope="module")
async def linked(arena: Chancery) -> AsyncIterator[Linked]:
    kafka_port = int(arena.settings["CHANCERY_KAFKA_BOOTSTRAP"].rpartition(":")[2])
    dsn = arena.settings["CHANCERY_POSTGRES_DSN"]
    async with contextlib.AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(link_to(kafka_port))
        postgres = await stack.enter_async_context(link_to(urlsplit(dsn).port or 0))
        through = {
            "CHANCERY_KAFKA_BOOTSTRAP": f"127.0.0.1:{kafka.port}",
            "CHANCERY_POSTGRES_DSN": postgres.url(dsn),
        }
        (replica,) = await stack.enter_async_context(fleet(arena, 1, QUICK, **RIVALS, **through))
        yield Linked(replica=replica, links={"kafka": kafka, "postgres": postgres})


def rename(person: Person, client: int) -> Command:
    body = {"display_name": f"Ada {time.monotonic()}"}
    request = {"json": body, "headers": person.bearer}
    return Command(method="PATCH", path="/v1/me", effect="profile.changed", request=request, client=client)


@pytest.mark.parametrize("store", ["kafka", "postgres"])
@pytest.mark.parametrize("weather", ["hang", "slow", "reset", "corrupt"])
@pytest.mark.timeout(300 * times(1))
async def test_a_bad_link_is_answered_in_time_and_heals(
    arena: Chancery, linked: Linked, store: str, weather: Weather
) -> None:
    side, link = linked.replica.chancery, linked.links[store]
    history, person = History(sides=[side]), await arena.new_person()
    slowest, statuses = 0.0, set()
    for _ in range(times(1)):
        await history.ask(rename(person, 0))
        link.turn(weather)
        until = time.monotonic() + BAD_SECONDS
        while time.monotonic() < until:
            asked = time.monotonic()
            answers = await asyncio.gather(
                *(history.attempt(rename(person, client), side) for client in range(ASKING_AT_ONCE))
            )
            slowest = max(slowest, time.monotonic() - asked)
            statuses |= {answer.status_code for answer in answers if isinstance(answer, httpx.Response)}
            await history.pause()
        link.turn("fair")
        healed = time.monotonic()
        await history.ask(rename(person, 0), patience_seconds=HEAL_SECONDS)
        await linked.replica.until_ready()
        assert time.monotonic() - healed < 2 * HEAL_SECONDS
    assert slowest < ANSWER_SECONDS
    assert statuses <= {204, 503}
    assert store != "kafka" or weather != "hang" or statuses == {503}
    await history.settle()
    record(f"{weather} link to {store}", times(1), slowest_seconds=round(slowest, 2))
    await judged(arena, history)


@pytest.mark.parametrize("weather", ["hang", "slow", "reset", "corrupt"])
@pytest.mark.timeout(300 * times(1))
async def test_a_bad_link_to_valkey_costs_time_and_nothing_else(arena: Chancery, weather: Weather) -> None:
    """Valkey only tells which process a partition prefers: without it everybody decides what arrives."""
    url = arena.settings["CHANCERY_REDIS_URL"]
    async with (
        link_to(urlsplit(url).port or 0) as link,
        fleet(arena, 2, QUICK, CHANCERY_REDIS_URL=link.url(url)) as replicas,
    ):
        history = History(sides=[replica.chancery for replica in replicas])
        people = [await arena.new_person() for _ in range(ASKING_AT_ONCE)]
        for _ in range(times(1)):
            link.turn(weather)
            until = time.monotonic() + BAD_SECONDS
            while time.monotonic() < until:
                asked = time.monotonic()
                await asyncio.gather(
                    *(history.ask(rename(person, client)) for client, person in enumerate(people))
                )
                assert time.monotonic() - asked < ANSWER_SECONDS
            link.turn("fair")
            for replica in replicas:
                await replica.until_ready()
        assert {line.status for line in history.lines} <= {204, 503}
        await history.settle()
        record(f"{weather} link to valkey", times(1))
        await judged(arena, history)
