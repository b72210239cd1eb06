"""A subscriber with its memory in a real PostgreSQL: every event once, in order, whatever happens to it or the feed."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from chancery_sdk.postgres import PostgresCheckpoints
from chancery_sdk.subscriber import GapError, Retry, Subscriber, WrongLogError
from chancery_sdk.testing import MemoryFeed
from tests.support.desk import QUICK, VERIFIED, Desk, at_work, desk, failure, tell
from tests.support.tasks import eventually

__all__ = ["desk"]

CLOSED = "chancery.account.closed.v1"


async def test_each_event_is_handled_once_in_order_across_restarts(desk: Desk) -> None:
    tell(desk, "a", "b")
    desk.feed.tell(CLOSED, {"account_id": "a"})
    tell(desk, "other", partition=1)
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "other")
        tell(desk, "c")
        await desk.until_noted("a", "b", "c", "other")
    tell(desk, "d")
    subscriber = desk.subscriber()
    async with at_work(subscriber):
        await desk.until_noted("a", "b", "c", "d", "other")
        assert subscriber.progress[0].lag == 0
    assert [one for one in await desk.notes() if one != "other"] == ["a", "b", "c", "d"]


async def test_repetitions_and_what_is_no_event_are_passed_over(desk: Desk) -> None:
    first = desk.feed.tell(VERIFIED, {"account_id": "a"})
    second = desk.feed.tell(VERIFIED, {"account_id": "b"})
    for record in (first, second, second):
        desk.feed.repeat(record)
    desk.feed.store(0, None, {})
    desk.feed.store(0, b"somebody else's", {"ce_id": "0:7:0"})
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b")
        desk.feed.repeat(first)
        tell(desk, "c")
        await desk.until_noted("a", "b", "c")


async def test_a_missing_event_halts_before_what_follows(desk: Desk) -> None:
    tell(desk, "a")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a")
    desk.feed.skip()
    tell(desk, "c")
    error = await failure(desk.subscriber())
    assert isinstance(error, GapError)
    assert str(error) == "partition 0, event 0:3:0 is number 3, and the last one was 1: events are missing"
    assert await desk.notes() == ["a"]


async def test_what_retention_took_before_it_was_handled_is_a_gap(desk: Desk) -> None:
    tell(desk, "a", "b", "c")
    desk.feed.forget(0, 2)
    assert isinstance(await failure(desk.subscriber()), GapError)
    assert await desk.notes() == []


async def test_the_events_of_another_log_are_not_mixed_in(desk: Desk) -> None:
    tell(desk, "a")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a")
    record = desk.feed.tell(VERIFIED, {"account_id": "b"})
    headers = {name: value.decode() for name, value in record.headers}
    desk.feed.forget(0, 2)
    desk.feed.store(0, record.value, {**headers, "ce_source": "urn:chancery:log:another"})
    assert isinstance(await failure(desk.subscriber()), WrongLogError)
    assert await desk.notes() == ["a"]


async def test_a_mirror_that_holds_another_part_of_the_topic_is_searched(desk: Desk) -> None:
    """The place is an offset there too, and holds something else."""
    tell(desk, "a", "b", "c")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "c")
    mirror = MemoryFeed(2)
    for _ in range(2):
        mirror.skip()
    desk.feed = mirror
    tell(desk, "c", "d", "e", "f", "g")
    async with at_work(desk.subscriber()):
        await desk.until_noted(*"abcdefg")


async def test_a_topic_that_was_made_anew_or_mirrored_is_gone_on_with(desk: Desk) -> None:
    desk.feed.store(0, None, {})
    desk.feed.store(0, None, {})
    tell(desk, "a", "b")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b")
    desk.feed = MemoryFeed(2)
    tell(desk, "a", "b", "c")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "c")


async def test_a_refused_event_is_tried_again_then_buried_with_all_of_its_subject_behind_it(
    desk: Desk,
) -> None:
    desk.dislikes.add("eve")
    tell(desk, "a", "eve", "b", "eve", "c")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "c")
        tell(desk, "eve", "d")
        await desk.until_noted("a", "b", "c", "d")
    assert desk.refusals >= QUICK.tries
    rows = await desk.pool.fetch("select seq, reason, tries from chancery_dead_letters order by seq")
    waits = "waits behind another of its subject"
    assert [tuple(row) for row in rows] == [
        (2, "ValueError: this one is not liked", QUICK.tries),
        (4, waits, 0),
        (6, waits, 0),
    ]


async def test_buried_events_are_handled_in_order_once_somebody_asks(desk: Desk) -> None:
    desk.dislikes.add("eve")
    tell(desk, "eve", "a", "eve")
    subscriber = desk.subscriber()
    async with at_work(subscriber):
        await desk.until_noted("a")
    assert await subscriber.retry_dead_letters() == 2
    desk.dislikes.clear()
    assert await subscriber.retry_dead_letters(partition=1) == 0
    assert await subscriber.retry_dead_letters() == 0
    assert [
        row["event_id"] for row in await desk.pool.fetch("select event_id from notes order by number")
    ] == [
        "0:2:0",
        "0:1:0",
        "0:3:0",
    ]
    tell(desk, "eve")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "eve", "eve", "eve")


async def has_begun(desk: Desk, consumer: str) -> bool:
    """It has looked where the feed ends, in both partitions."""
    sql = "select count(*) from chancery_checkpoints where consumer = $1"
    return bool(await desk.pool.fetchval(sql, consumer) == 2)


async def test_where_to_begin_is_the_consumers_choice(desk: Desk) -> None:
    now = datetime.now(UTC)
    for name, age in (("old", 60), ("late", 5)):
        desk.feed.tell(VERIFIED, {"account_id": name}, time=now - timedelta(seconds=age))
    later = desk.subscriber(start=now - timedelta(seconds=30), consumer="since")
    async with at_work(later):
        await desk.until_noted("late")
    newest = desk.subscriber(start="latest", consumer="newest")
    async with at_work(newest):
        await eventually(lambda: has_begun(desk, "newest"))
    tell(desk, "new")
    async with at_work(desk.subscriber(start="latest", consumer="newest")):
        await desk.until_noted("late", "new")
    await desk.pool.execute("delete from notes")
    async with at_work(desk.subscriber(start={0: 2}, consumer="replay")):
        await desk.until_noted("late", "new")


async def test_a_start_counts_once_and_not_after_a_rest(desk: Desk) -> None:
    """Somebody begins now; what happens while the service is down is handled when it is back with another now."""
    async with at_work(desk.subscriber(start=datetime.now(UTC))):
        await eventually(lambda: has_begun(desk, "desk"))
    tell(desk, "meanwhile")
    await asyncio.sleep(0.01)  # so that the next now is later
    async with at_work(desk.subscriber(start=datetime.now(UTC))):
        await desk.until_noted("meanwhile")
    tell(desk, "later")
    async with at_work(desk.subscriber(start="earliest")):
        await desk.until_noted("meanwhile", "later")


async def test_whatever_a_handler_raises_is_its_refusal(desk: Desk) -> None:
    desk.complaint = FileNotFoundError("a template\x00")
    desk.dislikes.add("eve")
    tell(desk, "eve", "a")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a")
    (row,) = await desk.pool.fetch("select reason from chancery_dead_letters")
    assert row["reason"] == "FileNotFoundError: a template\ufffd"


async def test_a_refusal_is_logged_without_what_it_says(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.complaint = ValueError("ada@example.com is taken")
    desk.dislikes.add("eve")
    tell(desk, "eve")
    async with at_work(desk.subscriber()):
        await eventually(lambda: is_buried(desk, 1))
    assert "was refused by ValueError" in caplog.text
    assert "ada" not in caplog.text


async def is_buried(desk: Desk, count: int) -> bool:
    return bool(await desk.pool.fetchval("select count(*) from chancery_dead_letters") == count)


async def test_a_server_that_has_enough_is_waited_for_and_buries_nobody(desk: Desk) -> None:
    """As a deadlock, a full disk, or a standby that took over: it is none of the event's fault."""
    desk.complaint = asyncpg.exceptions.DeadlockDetectedError("try again")
    desk.dislikes.add("a")
    tell(desk, "a")
    subscriber = desk.subscriber()
    async with at_work(subscriber):
        await eventually(lambda: has_refused(desk, QUICK.tries + 1))
        desk.dislikes.clear()
        await desk.until_noted("a")
    assert await is_buried(desk, 0)


async def has_refused(desk: Desk, count: int) -> bool:
    await asyncio.sleep(0)
    return desk.refusals >= count


async def test_who_stops_while_it_tries_again_buries_nobody(desk: Desk) -> None:
    desk.dislikes.add("eve")
    tell(desk, "eve", "a")
    checkpoints = PostgresCheckpoints(desk.pool, "desk")
    patient = Subscriber(desk.feed, checkpoints, retry=Retry(tries=3, pause_seconds=30))
    patient.on(VERIFIED)(desk.note)
    async with at_work(patient):
        await eventually(lambda: has_refused(desk, 2))
    assert await is_buried(desk, 0)
    desk.dislikes.clear()
    async with at_work(desk.subscriber()):
        await desk.until_noted("eve", "a")


async def test_buried_events_are_handled_once_however_many_ask(desk: Desk) -> None:
    desk.dislikes.add("eve")
    tell(desk, *["eve"] * 10)
    async with at_work(desk.subscriber()):
        await eventually(lambda: is_buried(desk, 10))
    desk.dislikes.clear()
    left = await asyncio.gather(*(desk.subscriber().retry_dead_letters() for _ in range(3)))
    assert left == [0, 0, 0]
    assert await desk.notes() == ["eve"] * 10


async def test_a_pool_that_is_too_small_is_refused_at_once(database_dsn: str, desk: Desk) -> None:
    async with asyncpg.create_pool(database_dsn, min_size=1, max_size=3) as pool:
        subscriber = Subscriber(desk.feed, PostgresCheckpoints(pool, "desk"))
        with pytest.raises(ValueError, match="the pool has 3 connections; 2 partitions need max_size=4"):
            await subscriber.run()


async def test_a_feed_that_is_away_is_waited_for(desk: Desk) -> None:
    subscriber = desk.subscriber()
    async with at_work(subscriber):
        tell(desk, "a")
        await desk.until_noted("a")
        desk.feed.is_down = True

        async def is_in_trouble() -> bool:
            return subscriber.progress[0].trouble == "the feed is down"

        await eventually(is_in_trouble)
        desk.feed.is_down = False
        tell(desk, "b")
        await desk.until_noted("a", "b")


async def test_two_processes_share_the_work_and_never_repeat_it(desk: Desk) -> None:
    """Also when the one that has the turn loses its lock and does not know."""
    names = [f"p{number}" for number in range(200)]
    async with at_work(desk.subscriber()), at_work(desk.subscriber()):
        for number, name in enumerate(names):
            tell(desk, name, partition=number % 2)
            if number % 50 == 25:
                await desk.pool.execute(
                    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' "
                    "and database = (select oid from pg_database where datname = current_database())"
                )
            await asyncio.sleep(0.005)  # they come one after the other
        await desk.until_noted(*names)


async def test_wherever_it_is_killed_it_goes_on_exactly_there(desk: Desk) -> None:
    chance, names = random.Random(5), [f"p{number}" for number in range(60)]
    for name in names:
        record = desk.feed.tell(VERIFIED, {"account_id": name})
        if chance.random() < 0.3:
            desk.feed.repeat(record)
    for _ in range(40):
        running = asyncio.create_task(desk.subscriber().run())
        await asyncio.sleep(chance.uniform(0, 0.05))  # the moment of its death
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    async with at_work(desk.subscriber()):
        await desk.until_noted(*names)
    assert await desk.notes() == names


async def test_an_event_type_has_one_handler(desk: Desk) -> None:
    with pytest.raises(ValueError, match="has a handler already"):
        desk.subscriber().on(VERIFIED)(desk.note)
