"""What every implementation of the SDK's feed must do. Each is told the records of a feed in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from chancery_sdk.events import Record, parse_event
from chancery_sdk.feed import Feed, FeedUnavailableError, OffsetLostError
from chancery_sdk.testing import MemoryFeed

VERIFIED = "chancery.account.verified.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`told` makes records, `store` brings one into the feed that is looked at, `forget` is retention."""

    feed: Feed
    told: MemoryFeed
    store: Callable[[Record], Awaitable[None]]
    forget: Callable[[int, int], Awaitable[None]]

    async def tell(self, name: str, partition: int = 0) -> None:
        await self.store(self.told.tell(VERIFIED, {"account_id": name}, partition=partition))


async def subjects(feed: Feed, offset: int = 0, partition: int = 0) -> list[str]:
    """From there to the end."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while offset < await feed.end(partition):
            for record in await feed.read(partition, offset, wait_seconds=1):
                assert record.offset == offset
                event = parse_event(record)
                assert event is not None
                found.append(event.subject)
                offset += 1
    return found


async def read_until_it_fails(feed: Feed, offset: int) -> None:
    """Nothing may come from there; a broker is asked a few times until it has said why."""
    for _ in range(20):
        assert not await feed.read(0, offset, wait_seconds=0.5)


class FeedSuite:
    @pytest.fixture
    def stage(self) -> Stage:
        raise AssertionError("each implementation has its own")

    async def test_events_come_as_they_were_told_from_any_offset_and_again(self, stage: Stage) -> None:
        for name in "abc":
            await stage.tell(name)
        await stage.tell("other", 1)
        assert await stage.feed.partitions() == [0, 1]
        assert await subjects(stage.feed) == ["a", "b", "c"]
        assert await subjects(stage.feed, 1) == ["b", "c"]
        assert await subjects(stage.feed) == ["a", "b", "c"]
        assert await subjects(stage.feed, partition=1) == ["other"]

    async def test_an_event_keeps_all_that_it_says(self, stage: Stage) -> None:
        data = {"account_id": "a", "policy": "verify"}
        record = stage.told.tell(
            "chancery.account.registered.v1", data, time=datetime(2026, 11, 25, tzinfo=UTC)
        )
        await stage.store(record)
        (found,) = await stage.feed.read(0, 0, wait_seconds=5)
        assert parse_event(found) == parse_event(record)
        assert found.headers == record.headers

    async def test_a_reader_that_waits_is_woken_or_told_that_nothing_came(self, stage: Stage) -> None:
        assert not await stage.feed.read(0, 0, wait_seconds=0.2)
        waiting = asyncio.create_task(stage.feed.read(0, 0, wait_seconds=20))
        await stage.tell("a")
        assert len(await asyncio.wait_for(waiting, 10)) == 1

    async def test_an_offset_that_is_not_there_yet_is_waited_for(self, stage: Stage) -> None:
        with pytest.raises(FeedUnavailableError):
            await read_until_it_fails(stage.feed, 100)
        await stage.tell("a")
        assert await subjects(stage.feed) == ["a"]

    async def test_an_offset_that_retention_took_is_lost(self, stage: Stage) -> None:
        for name in "abc":
            await stage.tell(name)
        await stage.forget(0, 2)
        assert await stage.feed.begin(0) == 2
        with pytest.raises(OffsetLostError):
            await read_until_it_fails(stage.feed, 0)
        assert await subjects(stage.feed, 2) == ["c"]

    async def test_a_time_is_found(self, stage: Stage) -> None:
        await stage.tell("before")
        await asyncio.sleep(0.05)  # brokers date records in milliseconds
        between = datetime.now(UTC)
        assert await stage.feed.offset_at(0, between) == 1
        await stage.tell("after")
        assert await subjects(stage.feed, await stage.feed.offset_at(0, between)) == ["after"]
