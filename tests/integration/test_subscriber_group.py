"""Subscribers that share partitions in a group: each event once, also where a partition moves in the middle of one."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from chancery_sdk.checkpoints import Checkpoint, StoreUnavailableError
from chancery_sdk.events import Event
from chancery_sdk.postgres import PostgresCheckpoints, Transaction
from chancery_sdk.subscriber import GapError, Subscriber
from chancery_sdk.testing import MemoryGroup
from tests.support.desk import QUICK, VERIFIED, Desk, at_work, desk, failure, tell
from tests.support.tasks import eventually

__all__ = ["desk"]
NAMES = [f"p{number}" for number in range(120)]


@contextlib.asynccontextmanager
async def running_at_most(subscriber: Subscriber[Transaction]) -> AsyncIterator[asyncio.Task[None]]:
    """No longer than the block, also where that fails."""
    running = asyncio.create_task(subscriber.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=10)


async def test_subscribers_of_one_group_share_and_hand_over(desk: Desk) -> None:
    group = MemoryGroup(2)
    one, two = desk.subscriber(partitions=group), desk.subscriber(partitions=group)
    async with at_work(one):
        tell(desk, *NAMES[:20])
        await desk.until_noted(*NAMES[:20])
        async with at_work(two):
            for number, name in enumerate(NAMES[20:100]):
                tell(desk, name, partition=number % 2)
                await asyncio.sleep(0.005)  # they come one after the other
            await desk.until_noted(*NAMES[:100])
            assert one.progress[0].handled + one.progress[1].handled < 100
            assert sum(progress.handled for progress in two.progress.values()) > 0
        tell(desk, *NAMES[100:])
        await desk.until_noted(*NAMES)
    assert Counter(await desk.notes()) == Counter(NAMES)


async def test_members_that_come_and_go_all_the_time_repeat_and_lose_nothing(desk: Desk) -> None:
    group = MemoryGroup(2)

    async def come_and_go() -> None:
        for _ in range(15):
            async with at_work(desk.subscriber(partitions=group)):
                await asyncio.sleep(0.03)

    async with at_work(desk.subscriber(partitions=group)):
        going = asyncio.gather(come_and_go(), come_and_go())
        for number, name in enumerate(NAMES):
            tell(desk, name, partition=number % 2)
            await asyncio.sleep(0.005)  # they come one after the other
        await going
        await desk.until_noted(*NAMES)


async def test_a_partition_that_goes_elsewhere_is_given_up_also_in_the_middle_of_an_event(desk: Desk) -> None:
    """What was done of it never happened, so whoever gets the partition does it, once."""
    group, hangs = MemoryGroup(2), asyncio.Event()
    stuck = Subscriber(desk.feed, PostgresCheckpoints(desk.pool, "desk"), partitions=group, retry=QUICK)

    @stuck.on(VERIFIED)
    async def hang(event: Event, tx: Transaction) -> None:
        await desk.note(event, tx)
        hangs.set()
        await asyncio.Event().wait()

    tell(desk, "a", partition=1)
    async with running_at_most(stuck) as running:
        await asyncio.wait_for(hangs.wait(), 10)
        async with at_work(desk.subscriber(partitions=group)):
            await desk.until_noted("a")
        stuck.stop()
        await asyncio.wait_for(running, 20)


async def test_a_process_that_sleeps_in_a_transaction_keeps_nobody_waiting_and_commits_nothing(
    desk: Desk,
) -> None:
    asleep, awake = (PostgresCheckpoints(desk.pool, "desk", idle_seconds=seconds) for seconds in (0.5, 30))
    before, after = Checkpoint(), Checkpoint(next_offset=5)
    async with awake.transaction() as tx:
        await awake.advance(tx, 0, None, before)
    sleeping = asleep.transaction()
    await asleep.advance(await sleeping.__aenter__(), 0, before, Checkpoint(next_offset=3))
    async with asyncio.timeout(10), awake.transaction() as tx:
        await awake.advance(tx, 0, before, after)
    with pytest.raises(StoreUnavailableError):
        await sleeping.__aexit__(None, None, None)
    assert await awake.load(0) == after


async def test_a_gap_ends_a_member_as_it_ends_any_subscriber(desk: Desk) -> None:
    tell(desk, "a")
    desk.feed.skip()
    tell(desk, "c")
    error = await failure(desk.subscriber(partitions=MemoryGroup(2)))
    assert isinstance(error, GapError)


async def test_who_stops_while_it_shares_finishes_what_it_began(desk: Desk) -> None:
    tell(desk, *NAMES[:50])
    subscriber = desk.subscriber(partitions=MemoryGroup(2))
    async with at_work(subscriber):

        async def has_begun() -> bool:
            return len(await desk.notes()) > 0

        await eventually(has_begun)
    assert len(await desk.notes()) == subscriber.progress[0].handled
