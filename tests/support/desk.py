"""A subscriber's own service for tests: it notes each event in its PostgreSQL, and refuses those that it dislikes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from chancery_sdk.events import Event
from chancery_sdk.postgres import PostgresCheckpoints, Transaction
from chancery_sdk.sharing import Sharing
from chancery_sdk.subscriber import Retry, Start, Subscriber
from chancery_sdk.testing import MemoryFeed
from tests.support.tasks import eventually

VERIFIED = "chancery.account.verified.v1"
NOTES = "create table notes (number serial, event_id text unique, subject text)"
QUICK = Retry(tries=3, pause_seconds=0.01)


@dataclass(slots=True, kw_only=True)
class Desk:
    """A subscriber's own service: it notes each event, and refuses those of people that it dislikes."""

    pool: "asyncpg.Pool[Any]"
    feed: MemoryFeed
    dislikes: set[str] = field(default_factory=set)
    refusals: int = 0
    complaint: Exception = field(default_factory=lambda: ValueError("this one is not liked"))

    def subscriber(
        self,
        *,
        start: Start = "earliest",
        consumer: str = "desk",
        partitions: Sequence[int] | Sharing | None = None,
    ) -> Subscriber[Transaction]:
        checkpoints = PostgresCheckpoints(self.pool, consumer)
        subscriber = Subscriber(self.feed, checkpoints, start=start, partitions=partitions, retry=QUICK)
        subscriber.on(VERIFIED)(self.note)
        return subscriber

    async def note(self, event: Event, tx: Transaction) -> None:
        await tx.execute("insert into notes (event_id, subject) values ($1, $2)", event.id, event.subject)
        if event.subject in self.dislikes:
            self.refusals += 1
            raise self.complaint

    async def notes(self) -> list[str]:
        return [row["subject"] for row in await self.pool.fetch("select subject from notes order by number")]

    async def until_noted(self, *subjects: str) -> None:
        async def are_noted() -> bool:
            return sorted(await self.notes()) == sorted(subjects)

        await eventually(are_noted)


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    async with asyncpg.create_pool(database_dsn, min_size=1, max_size=10) as pool:
        await pool.execute(NOTES)
        await PostgresCheckpoints(pool, "desk").create_tables()
        yield Desk(pool=pool, feed=MemoryFeed(2))


@contextlib.asynccontextmanager
async def at_work(subscriber: Subscriber[Transaction]) -> AsyncIterator[None]:
    """While the block runs; it ends gracefully."""
    running = asyncio.create_task(subscriber.run())
    try:
        yield
    finally:
        subscriber.stop()
        await asyncio.wait_for(running, 10)


def tell(desk: Desk, *subjects: str, partition: int = 0) -> None:
    for subject in subjects:
        desk.feed.tell(VERIFIED, {"account_id": subject}, partition=partition)


async def failure(subscriber: Subscriber[Transaction]) -> BaseException:
    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(subscriber.run(), 10)
    (error,) = raised.value.exceptions
    return error
