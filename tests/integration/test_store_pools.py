"""Pools before stores that hang, break or refuse: they fail at once after a few waits, and serve again by themselves."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import redis

from localstack.stack import StackInfo
from runtime.circuit import FAILURES, OPEN_SECONDS, Circuit
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError
from runtime.redis import Valkey, ValkeyUnavailableError
from tests.support.link import Link, Weather, link_to
from tests.support.tasks import eventually

TIMEOUT_SECONDS = 0.5
HEAL_SECONDS = 2.0
"""Of a pool, from the moment at which its store can be reached again."""
AT_ONCE_SECONDS = TIMEOUT_SECONDS / 2
MOST_AT_ONCE = 10
"""As many as PostgreSQL's pool has places, so that all are connected."""
MANY_AT_ONCE = 80
"""More than any pool has places."""
DOWN = (PostgresUnavailableError, ValkeyUnavailableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of ours through a link, and how the same thing is asked of each."""

    link: Link
    ask: Callable[[], Awaitable[object]]
    refused: Callable[[], Awaitable[object]]
    circuit: Circuit


@dataclass(slots=True)
class Tally:
    """How calls ended, and how long each took."""

    answered: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def one(self, pool: Pool) -> bool:
        began = time.monotonic()
        try:
            await pool.ask()
        except DOWN as error:
            self.failed += 1
            self.failures.append(str(error))
            return False
        else:
            self.answered += 1
            return True
        finally:
            self.seconds.append(time.monotonic() - began)

    async def many(self, pool: Pool, count: int, *, apart_seconds: float = 0.0) -> None:
        async def later(number: int) -> None:
            await asyncio.sleep(number * apart_seconds)  # they do not all come at once
            await self.one(pool)

        await asyncio.gather(*(later(number) for number in range(count)))


@contextlib.asynccontextmanager
async def postgres_pool(stack: StackInfo) -> AsyncIterator[Pool]:
    async with link_to(urlsplit(stack.postgres_dsn).port or 0) as link:
        postgres = await Postgres.open(link.url(stack.postgres_dsn), timeout_seconds=TIMEOUT_SECONDS)
        yield Pool(
            link=link,
            ask=lambda: postgres.fetch_one("select 1"),
            refused=lambda: postgres.fetch_one("select 1 / 0"),
            circuit=postgres.circuit,
        )
        await postgres.close()


@contextlib.asynccontextmanager
async def valkey_pool(stack: StackInfo) -> AsyncIterator[Pool]:
    async with link_to(urlsplit(stack.redis_url).port or 0) as link:
        valkey = Valkey.open(link.url(stack.redis_url), timeout_seconds=TIMEOUT_SECONDS)
        good, bad = valkey.script("return 1"), valkey.script("return redis.error_reply('no')")
        yield Pool(link=link, ask=lambda: good([], []), refused=lambda: bad([], []), circuit=valkey.circuit)
        await valkey.close()


@pytest.fixture(params=[postgres_pool, valkey_pool], ids=["postgres", "valkey"])
async def pool(request: pytest.FixtureRequest, projector_stack: StackInfo) -> AsyncIterator[Pool]:
    async with request.param(projector_stack) as opened:
        await Tally().many(opened, MOST_AT_ONCE)
        yield opened


@pytest.mark.parametrize("weather", ["hang", "reset"])
async def test_a_pool_fails_at_once_after_some_waits_and_heals_by_itself(
    pool: Pool, weather: Weather
) -> None:
    pool.link.turn(weather)
    first, then = Tally(), Tally()
    while not pool.circuit.is_open:
        await first.many(pool, MOST_AT_ONCE)
    assert first.failed <= FAILURES + 2 * MOST_AT_ONCE
    assert first.answered == 0
    await then.many(pool, 200)
    assert (then.answered, then.failed) == (0, 200)
    assert sum("not asked" in failure for failure in then.failures) >= 199  # one may be a probe
    assert sorted(then.seconds)[-2] < AT_ONCE_SECONDS
    pool.link.turn("fair")
    await heals(pool)


async def test_nobody_waits_longer_than_for_one_answer(pool: Pool) -> None:
    """But for half of one: neither who waited for a place meanwhile, nor for the connection to be put away."""
    pool.link.turn("hang")
    crowd = Tally()
    await crowd.many(pool, MANY_AT_ONCE, apart_seconds=0.002)
    assert (crowd.answered, crowd.failed) == (0, MANY_AT_ONCE)
    assert max(crowd.seconds) < 1.75 * TIMEOUT_SECONDS
    pool.link.turn("fair")
    await heals(pool)


async def heals(pool: Pool) -> None:
    """By traffic alone. Then every place of the pool serves."""
    after, began = Tally(), time.monotonic()
    while not await after.one(pool):
        assert time.monotonic() - began < HEAL_SECONDS
        await asyncio.sleep(0.01)  # callers come now and then
    assert time.monotonic() - began < HEAL_SECONDS
    healed = Tally()
    await healed.many(pool, 3 * MOST_AT_ONCE)
    assert (healed.answered, healed.failed) == (3 * MOST_AT_ONCE, 0)


async def test_connections_that_died_while_nobody_used_them_cost_no_call(pool: Pool) -> None:
    pool.link.cut()
    await asyncio.sleep(0.05)  # until both ends have seen it
    after = Tally()
    await after.many(pool, MOST_AT_ONCE)
    assert (after.answered, after.failed) == (MOST_AT_ONCE, 0)


async def test_refusals_are_answers_and_open_nothing(pool: Pool) -> None:
    for _ in range(2 * FAILURES):
        with pytest.raises((PostgresRejectedError, ValkeyUnavailableError)):
            await pool.refused()
    assert not pool.circuit.is_open


async def test_callers_who_go_away_open_nothing(pool: Pool) -> None:
    pool.link.turn("hang")
    for _ in range(2 * FAILURES):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await pool.ask()
    pool.link.turn("fair")
    assert not pool.circuit.is_open
    await heals(pool)


async def test_callers_who_waited_for_long_had_no_answer_either(projector_stack: StackInfo) -> None:
    """A token check has less patience than PostgreSQL's pool."""
    async with postgres_pool(projector_stack) as pool:
        await pool.ask()
        pool.link.turn("hang")

        async def asks_in_vain() -> None:
            with contextlib.suppress(TimeoutError, *DOWN):
                async with asyncio.timeout(TIMEOUT_SECONDS - 0.05):
                    await pool.ask()

        await asyncio.gather(*(asks_in_vain() for _ in range(MOST_AT_ONCE)))
        assert pool.circuit.is_open
        pool.link.turn("fair")
        await heals(pool)


async def test_a_pool_is_not_judged_by_the_deadlines_of_another(projector_stack: StackInfo) -> None:
    async with link_to(urlsplit(projector_stack.redis_url).port or 0) as link:
        url = link.url(projector_stack.redis_url)
        hasty, patient = Valkey.open(url, timeout_seconds=0.05), Valkey.open(url, timeout_seconds=5)
        ask, ask_patiently = hasty.script("return 1"), patient.script("return 1")
        assert await ask_patiently([], []) == 1
        link.turn("slow")
        while not hasty.circuit.is_open:
            with pytest.raises(ValkeyUnavailableError):
                await ask([], [])
        assert await ask_patiently([], []) == 1
        await hasty.close()
        await patient.close()


async def test_who_waits_for_news_hears_of_them_soon_after_the_link_is_back(
    projector_stack: StackInfo, valkey_admin: "redis.Redis"
) -> None:
    async with valkey_pool(projector_stack) as pool:
        valkey = Valkey.open(pool.link.url(projector_stack.redis_url), timeout_seconds=TIMEOUT_SECONDS)
        bell = valkey.bell("news")

        async def rings() -> bool:
            try:
                await bell.wait("0-0", seconds=0.2)
            except ValkeyUnavailableError:
                return False
            return True

        assert await rings()
        pool.link.turn("reset")
        while not valkey.circuit.is_open:
            assert not await rings()
        valkey_admin.xadd("news", {"what": "something"})
        pool.link.turn("fair")
        await eventually(rings, within_seconds=OPEN_SECONDS + 0.5)
        await valkey.close()
