"""A consumer group on a real Kafka: members share the feed, and what one of them leaves the others take, exactly there."""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from chancery_sdk.kafka_group import SESSION_SECONDS, KafkaGroup
from chancery_sdk.postgres import PostgresCheckpoints
from chancery_sdk.sharing import Sharing
from chancery_sdk.testing import MemoryFeed
from eventstore.provision import create_topics
from localstack.child import ends_with_parent
from localstack.stack import StackInfo
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from tests.conformance.sharing_suite import PARTITIONS, Board, Member, SharingSuite, taking_part, until
from tests.support.broker import Broker, topic_names
from tests.support.group_member import VERIFIED
from tests.support.tasks import eventually

ROOT = Path(__file__).parent.parent.parent
TAKEN_OVER_SECONDS = 4 * SESSION_SECONDS
"""Twice what it should take: this machine may have other work."""
START_SECONDS = 40.0
BETWEEN_SECONDS = 0.02
Store = Literal["postgres", "kafka"]


class TestKafkaGroup(SharingSuite):
    @pytest.fixture
    async def join(self, projector_stack: StackInfo) -> Callable[[], Sharing]:
        broker = Broker(projector_stack.home, projector_stack.kafka)
        topic, name = (await broker.new_topics(PARTITIONS)).public, uuid.uuid4().hex
        return lambda: KafkaGroup(broker.bootstrap, name, topic=topic)


async def test_a_topic_that_is_made_later_is_shared_out_then(projector_stack: StackInfo) -> None:
    topics, board = topic_names(PARTITIONS), Board()
    member = Member(board)
    group = KafkaGroup(projector_stack.kafka, uuid.uuid4().hex, topic=topics.public)
    async with taking_part(group, member):
        await asyncio.sleep(2)  # it looks for the topic
        async with open_admin(KafkaAccess(projector_stack.kafka)) as admin:
            await create_topics(admin, topics)
        await until(lambda: board.held_by(member) == set(range(PARTITIONS)))


@dataclass(slots=True, kw_only=True)
class Service:
    """Several processes of a service, and what happens that they are to note."""

    bootstrap: str
    topic: str
    dsn: str
    pool: "asyncpg.Pool[Any]"
    producer: AIOKafkaProducer
    group: str = field(default_factory=lambda: uuid.uuid4().hex)
    told: MemoryFeed = field(default_factory=lambda: MemoryFeed(PARTITIONS))
    ids: list[str] = field(default_factory=list)

    async def tell(self) -> None:
        partition = len(self.ids) % PARTITIONS
        record = self.told.tell(VERIFIED, {"account_id": f"a{len(self.ids)}"}, partition=partition)
        headers = list(record.headers)
        await self.producer.send_and_wait(self.topic, record.value, headers=headers, partition=partition)
        self.ids.append(dict(headers)["ce_id"].decode())

    async def tell_for(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await asyncio.shield(self.tell())
                    await asyncio.sleep(BETWEEN_SECONDS)
        await asyncio.sleep(2 * BETWEEN_SECONDS)  # the shielded one is stored

    @contextlib.asynccontextmanager
    async def member(self, name: str, store: Store) -> AsyncIterator[asyncio.subprocess.Process]:
        """At the end of the block it is gone, gracefully if it still lives."""
        arguments = (self.bootstrap, self.topic, self.group, self.dsn, name, store)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.group_member",
            *arguments,
            env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")},
            cwd=ROOT,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
        try:
            yield process
            if process.returncode is None:
                process.terminate()
                assert await asyncio.wait_for(process.wait(), START_SECONDS) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def notes(self) -> Counter[str]:
        return Counter(row["event_id"] for row in await self.pool.fetch("select event_id from notes"))

    async def members(self) -> set[str]:
        """Whose notes are among the latest ones."""
        rows = await self.pool.fetch("select member from notes order by number desc limit 20")
        return {row["member"] for row in rows}

    async def until_all_noted(self, seconds: float) -> None:
        async def are_all() -> bool:
            return set(await self.notes()) >= set(self.ids)

        await eventually(are_all, within_seconds=seconds)

    async def until_shared(self, *names: str) -> None:
        """Tell until each of them notes something."""
        async with asyncio.timeout(START_SECONDS):
            while await self.members() != set(names):
                await self.tell()
                await asyncio.sleep(BETWEEN_SECONDS)


@pytest.fixture
async def service(projector_stack: StackInfo, database_dsn: str) -> AsyncIterator[Service]:
    broker = Broker(projector_stack.home, projector_stack.kafka)
    topic = (await broker.new_topics(PARTITIONS)).public
    async with (
        asyncpg.create_pool(database_dsn, min_size=1, max_size=4) as pool,
        AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer,
    ):
        await pool.execute("create table notes (number serial, event_id text, member text)")
        await PostgresCheckpoints(pool, "any").create_tables()
        yield Service(bootstrap=broker.bootstrap, topic=topic, dsn=database_dsn, pool=pool, producer=producer)


@pytest.mark.parametrize("store", ["postgres", "kafka"])
async def test_the_partitions_of_a_member_that_is_killed_go_to_the_other_and_no_event_is_lost(
    service: Service, store: Store
) -> None:
    async with service.member("one", store) as one, service.member("two", store):
        await service.until_shared("one", "two")
        telling = asyncio.create_task(service.tell_for(2.0))
        await asyncio.sleep(1.0)  # in the middle of its work
        one.kill()
        await telling
        await service.until_all_noted(TAKEN_OVER_SECONDS)
        await service.until_shared("two")
        await service.until_all_noted(TAKEN_OVER_SECONDS)
    notes = await service.notes()
    assert set(notes) == set(service.ids)
    if store == "postgres":
        assert max(notes.values()) == 1
    assert await service.pool.fetchval("select count(*) from chancery_dead_letters") == 0


async def test_a_member_that_wakes_up_after_others_went_on_repeats_nothing(service: Service) -> None:
    async with service.member("one", "postgres") as one, service.member("two", "postgres"):
        await service.until_shared("one", "two")
        telling = asyncio.create_task(service.tell_for(2.0))
        await asyncio.sleep(1.0)  # in the middle of its work
        one.send_signal(signal.SIGSTOP)
        await telling
        await service.until_all_noted(TAKEN_OVER_SECONDS)
        one.send_signal(signal.SIGCONT)
        await service.until_shared("one", "two")
        await service.until_all_noted(TAKEN_OVER_SECONDS)
    assert await service.notes() == Counter(service.ids)
    assert await service.pool.fetchval("select count(*) from chancery_dead_letters") == 0


@pytest.mark.parametrize("store", ["postgres", "kafka"])
async def test_members_that_come_and_go_gracefully_repeat_nothing(service: Service, store: Store) -> None:
    async with service.member("one", store):
        await service.until_shared("one")
        telling = asyncio.create_task(service.tell_for(8.0))
        async with service.member("two", store):
            await service.until_shared("one", "two")
        await telling
        await service.until_all_noted(TAKEN_OVER_SECONDS)
    for _ in range(10):
        await service.tell()
    async with service.member("three", store):
        await service.until_all_noted(START_SECONDS)
    assert await service.notes() == Counter(service.ids)
