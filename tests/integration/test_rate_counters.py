"""Rate limits counted together in a real Valkey, and by each process alone while that is gone, slow or silent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import pytest
import redis
from prometheus_client import CollectorRegistry

from localstack.stack import StackInfo
from runtime.rate_counters import (
    AVOID_SECONDS,
    CONNECTION_SECONDS,
    DOUBT_SECONDS,
    LOCAL_KEYS,
    SLICE_SECONDS,
    SLICES,
    Limit,
    LimitUnknownError,
    RateCounters,
)
from runtime.redis import Valkey
from tests.support.link import Link, Weather, link_to
from tests.support.tasks import eventually

A_DAY = 86_400
"""Windows in memory begin with the day, the hour, the minute; none is to begin while a test runs."""
LIMIT = Limit(name="address-sign-ins", count=60, seconds=A_DAY)
MANY = Limit(name="address-tokens", count=20_000, seconds=60)
DIVISOR = 3
Told = Literal["pass", "exceeded", "unknown"]
NOWHERE = "redis://127.0.0.1:1/0"
VALKEY_SECONDS = SLICES * SLICE_SECONDS
SLACK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Side:
    """What one process counts with."""

    counters: RateCounters
    registry: CollectorRegistry

    async def passed(self, limit: Limit, key: str, calls: int) -> int:
        """How many of so many calls at once were let through."""
        return (await self.told(limit, key, calls)).count("pass")

    async def told(self, limit: Limit, key: str, calls: int) -> list[Told]:
        """What each of so many calls at once was told."""

        async def one() -> Told:
            try:
                return "pass" if await self.counters.hit(limit, key) is None else "exceeded"
            except LimitUnknownError:
                return "unknown"

        return list(await asyncio.gather(*(one() for _ in range(calls))))

    async def until_alone(self) -> None:
        async def is_alone() -> bool:
            await self.told(LIMIT, "whoever finds out", 1)
            return self.is_alone

        await eventually(is_alone)

    @property
    def is_alone(self) -> bool:
        return self.registry.get_sample_value("chancery_rate_limits_alone") == 1


@asynccontextmanager
async def sides(url: str, count: int) -> AsyncIterator[list[Side]]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            valkey = Valkey.open(url, timeout_seconds=CONNECTION_SECONDS)
            stack.push_async_callback(valkey.close)
            registry = CollectorRegistry()
            opened.append(Side(RateCounters(valkey, registry, divisor=DIVISOR), registry))
        yield opened


@pytest.fixture
async def three(projector_stack: StackInfo, valkey_admin: "redis.Redis") -> AsyncIterator[list[Side]]:
    async with sides(projector_stack.redis_url, 3) as opened:
        yield opened


@pytest.fixture
async def link(projector_stack: StackInfo, valkey_admin: "redis.Redis") -> AsyncIterator[Link]:
    port = urlsplit(projector_stack.redis_url).port
    assert port is not None
    async with link_to(port) as opened:
        yield opened


@pytest.fixture
async def linked(link: Link) -> AsyncIterator[Side]:
    """A process whose Valkey can be made to fail."""
    async with sides(link.url("redis://127.0.0.1/0"), 1) as (side,):
        assert await side.passed(LIMIT, "warm", 1) == 1
        yield side


async def seconds_of(side: Side, limit: Limit, key: str) -> float:
    began = time.perf_counter()
    await side.told(limit, key, 1)
    return time.perf_counter() - began


@pytest.mark.parametrize("number", range(20))
async def test_abuse_d1_any_number_of_calls_at_once_get_the_limit_and_no_more(
    three: list[Side], number: int
) -> None:
    passed = await asyncio.gather(*(side.passed(LIMIT, f"prefix {number}", 67) for side in three))
    assert sum(passed) == LIMIT.count
    assert not any(side.is_alone for side in three)


async def test_keys_and_limits_are_counted_apart(three: list[Side]) -> None:
    other = Limit(name="address-codes", count=60, seconds=A_DAY)
    assert await three[0].passed(LIMIT, "a", 100) == 60
    assert await three[1].passed(LIMIT, "b", 100) == 60
    assert await three[2].passed(other, "a", 100) == 60
    assert await three[0].passed(LIMIT, "a", 10) == 0
    refused = three[0].registry.get_sample_value("chancery_rate_limited_total", {"limit": "address-sign-ins"})
    assert refused == 50


async def test_a_limit_of_nothing_is_no_limit(three: list[Side]) -> None:
    off = Limit(name="address-sign-ins", count=0, seconds=1)
    assert await three[0].passed(off, "a", 1000) == 1000


async def test_who_waits_as_long_as_told_is_let_through(three: list[Side]) -> None:
    short = Limit(name="address-codes", count=2, seconds=2)
    assert await three[0].passed(short, "a", 2) == 2
    exceeded = await three[1].counters.hit(short, "a")
    assert exceeded is not None
    assert exceeded.limit == short
    assert exceeded.wait_seconds in (1, 2)
    await asyncio.sleep(exceeded.wait_seconds + 0.1)  # what it said, and a moment for the store's clock
    assert await three[2].counters.hit(short, "a") is None


async def test_large_limits_are_taken_in_portions_and_never_exceeded(
    three: list[Side], valkey_admin: "redis.Redis"
) -> None:
    """A portion is a thousandth: what it saves are round trips, what it costs are a few calls at the end."""
    asked = 8000
    passed = await asyncio.gather(*(side.passed(MANY, "prefix", asked) for side in three))
    assert MANY.count * 0.95 <= sum(passed) <= MANY.count
    valkey_admin.config_resetstat()
    assert await three[0].passed(MANY, "another prefix", 1000) == 1000
    trips = sum(
        said["calls"]
        for name, said in valkey_admin.info("commandstats").items()
        if name.startswith("cmdstat_evalsha")
    )
    assert trips <= 100


async def test_a_portion_is_forgotten_before_it_could_be_spent_in_a_later_window(three: list[Side]) -> None:
    brief = Limit(name="address-tokens", count=5000, seconds=5)
    assert await three[0].passed(brief, "prefix", 1) == 1
    await asyncio.sleep(0.6)  # longer than a tenth of the limit's seconds
    assert await three[1].passed(brief, "prefix", 6000) == 5000 - 5
    assert await three[0].passed(brief, "prefix", 10) == 0


async def test_counters_that_were_flushed_begin_anew(three: list[Side], valkey_admin: "redis.Redis") -> None:
    """Scripts are gone as well, and come back."""
    assert await three[0].passed(LIMIT, "a", 100) == 60
    valkey_admin.flushall()
    valkey_admin.script_flush()
    assert await three[0].passed(LIMIT, "a", 100) == 60
    assert not three[0].is_alone


async def test_the_store_holds_no_key_for_ever(three: list[Side], valkey_admin: "redis.Redis") -> None:
    await three[0].passed(LIMIT, "a", 100)
    names = list(valkey_admin.scan_iter("chancery:v1:limit:*"))
    assert names
    assert all(0 < valkey_admin.ttl(name) <= 2 * LIMIT.seconds for name in names)


async def test_without_valkey_each_process_counts_alone_and_more_strictly() -> None:
    async with sides(NOWHERE, 3) as opened:
        for side in opened:
            assert await side.passed(LIMIT, "a", 200) == LIMIT.count // DIVISOR
            assert side.is_alone
        exceeded = await opened[0].counters.hit(LIMIT, "a")
        assert exceeded is not None
        assert exceeded.limit == Limit(name=LIMIT.name, count=20, seconds=A_DAY)
        assert 1 <= exceeded.wait_seconds <= A_DAY


async def test_a_strict_limit_still_lets_somebody_through() -> None:
    async with sides(NOWHERE, 1) as (side,):
        assert await side.passed(Limit(name="address-codes", count=1, seconds=A_DAY), "a", 5) == 1


async def test_alone_a_process_keeps_a_bounded_number_of_counters() -> None:
    once = Limit(name="address-codes", count=1, seconds=A_DAY)
    async with sides(NOWHERE, 1) as (side,):
        passed = [await side.counters.hit(once, f"prefix {number}") for number in range(3 * LOCAL_KEYS)]
    assert LOCAL_KEYS // 2 < passed.count(None) <= LOCAL_KEYS


async def test_abuse_d1_a_moment_of_silence_lets_nobody_through_beyond_the_limit(
    link: Link, linked: Side, three: list[Side]
) -> None:
    """The others are answered meanwhile, so nothing is left for who is not."""
    link.turn("hang")
    asking = asyncio.create_task(linked.told(LIMIT, "a", 100))
    passed = await asyncio.gather(*(side.passed(LIMIT, "a", 100) for side in three))
    told = await asking
    link.turn("fair")
    assert sum(passed) == LIMIT.count
    assert told == ["unknown"] * 100
    assert not linked.is_alone

    async def is_told_again() -> bool:
        return await linked.told(LIMIT, "a", 1) == ["exceeded"]

    await eventually(is_told_again, within_seconds=2)


async def test_one_late_answer_among_many_makes_no_doubt(linked: Side, link: Link) -> None:
    link.turn("slow")
    late = asyncio.create_task(linked.told(LIMIT, "a", 1))
    await asyncio.sleep(0.03)  # it is on its slow way
    link.turn("fair")
    assert await linked.told(LIMIT, "a", 5) == ["pass"] * 5
    assert await late == ["unknown"]
    assert await linked.told(LIMIT, "a", 5) == ["pass"] * 5


async def test_a_hanging_valkey_costs_one_wait_and_not_one_for_each_call(link: Link, linked: Side) -> None:
    link.turn("hang")
    assert VALKEY_SECONDS <= await seconds_of(linked, LIMIT, "a") < VALKEY_SECONDS + SLACK_SECONDS
    began = time.perf_counter()
    assert await linked.told(LIMIT, "a", 100) == ["unknown"] * 100
    assert time.perf_counter() - began < VALKEY_SECONDS


async def test_many_calls_at_once_wait_for_a_hanging_valkey_together(link: Link, linked: Side) -> None:
    link.turn("hang")
    began = time.perf_counter()
    assert await linked.passed(LIMIT, "a", 200) == 0
    assert time.perf_counter() - began < VALKEY_SECONDS + SLACK_SECONDS


async def test_after_a_second_of_silence_it_counts_alone(link: Link, linked: Side) -> None:
    link.turn("hang")
    began = time.perf_counter()
    await linked.until_alone()
    assert DOUBT_SECONDS <= time.perf_counter() - began < 3 * DOUBT_SECONDS
    assert await linked.passed(LIMIT, "a", 100) == LIMIT.count // DIVISOR


async def test_while_it_hangs_one_call_at_a_time_finds_out_whether_it_is_back(
    link: Link, linked: Side
) -> None:
    link.turn("hang")
    await linked.until_alone()
    await asyncio.sleep(AVOID_SECONDS)  # then it is asked again
    waits = await asyncio.gather(*(seconds_of(linked, LIMIT, "a") for _ in range(20)))
    assert sum(wait >= VALKEY_SECONDS for wait in waits) == 1


@pytest.mark.parametrize("weather", ["hang", "reset"])
async def test_it_counts_with_the_others_again_when_valkey_is_back(
    link: Link, linked: Side, three: list[Side], weather: Weather
) -> None:
    assert await three[0].passed(LIMIT, "a", 100) == 60
    link.turn(weather)
    await linked.until_alone()
    assert await linked.passed(LIMIT, "a", 100) == LIMIT.count // DIVISOR
    link.turn("fair")

    async def is_together() -> bool:
        await linked.told(LIMIT, "b", 1)
        return not linked.is_alone

    await eventually(is_together)
    assert await linked.passed(LIMIT, "a", 10) == 0


async def test_a_loop_that_is_late_itself_does_not_blame_valkey(three: list[Side]) -> None:
    async def be_late() -> None:
        for _ in range(3):
            time.sleep(2 * VALKEY_SECONDS)  # noqa: ASYNC251  # the loop is busy: that is what is tested
            await asyncio.sleep(0)  # others' turn

    late = asyncio.create_task(be_late())
    assert sum(await asyncio.gather(*(three[0].passed(LIMIT, "a", 20) for _ in range(5)))) == 60
    await late
    assert not three[0].is_alone


async def test_calls_that_were_given_up_leave_no_answer_to_others(link: Link, linked: Side) -> None:
    """Answers of one key are all refusals, of the others all passes: one that went astray would show."""
    assert await linked.passed(LIMIT, "spent", 100) == 60
    for number in range(20):
        link.turn("hang")
        asking = [asyncio.create_task(linked.counters.hit(LIMIT, "spent")) for _ in range(20)]
        await asyncio.sleep(0.005 * number)  # they are at different points of their way, and none is late
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        link.turn("fair")
        keys = ["spent" if n % 2 else f"fresh {number} {n}" for n in range(40)]
        told = await asyncio.gather(*(linked.counters.hit(LIMIT, key) for key in keys))
        assert [key for key, exceeded in zip(keys, told, strict=True) if exceeded] == keys[1::2]
        assert not linked.is_alone
