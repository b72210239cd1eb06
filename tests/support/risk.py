"""A risk worker of a test's own beside a running stack, and what its conclusions left in the log."""

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from os import environ

from aiokafka import AIOKafkaConsumer, TopicPartition

from events.streams import account_stream, partition_of
from localstack.ports import LOOPBACK, free_port_variables
from tests.support.chancery import Chancery, until_ready
from tests.support.log_reading import LogFollower, following_log, partition_count
from tests.support.tasks import eventually

A_DAY = {"CHANCERY_RISK_WINDOW_SECONDS": "86400"}
"""For a worker whose windows hardly ever end while a test runs."""
CONCLUSIONS = frozenset({"session.flagged", "session.step_up_required", "owner_notice.requested"})
STOP_SECONDS = 20.0
TOLD_SECONDS = 90.0
"""A worker that was killed is missed after some seconds, and a new one begins after that."""


@dataclass(slots=True, kw_only=True)
class RiskProcess:
    """One worker of one group, which may be killed and started again as often as a test likes.

    One that ends by itself is started again, as every supervisor does: it ends where Faust passed an event over.
    """

    chancery: Chancery
    more: Mapping[str, str] = field(default_factory=dict)
    group: str = field(default_factory=lambda: f"chancery.risk-{uuid.uuid4().hex[:8]}")
    port: str = field(default_factory=lambda: free_port_variables()["CHANCERY_RISK_PORT"])
    process: asyncio.subprocess.Process | None = None
    is_wanted: bool = False

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self, **more: str) -> None:
        own = {"CHANCERY_RISK_GROUP": self.group, "CHANCERY_RISK_PORT": self.port}
        log = (self.chancery.home / "log" / f"{self.group}.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "serve", "risk"),
            env={**environ, **self.chancery.settings, **own, **self.more, **more},
            stderr=log,
        )
        self.is_wanted = True
        log.close()

    async def until_ready(self) -> None:
        await until_ready(self.chancery.http, self.url)

    async def keep_alive(self) -> None:
        """Until cancelled."""
        while True:
            if self.is_wanted and self.process is not None and self.process.returncode is not None:
                await self.start()
            await asyncio.sleep(0.2)  # between two looks, as a supervisor has

    async def kill(self) -> None:
        assert self.process is not None
        self.is_wanted = False
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """The exit code after SIGTERM."""
        assert self.process is not None
        self.is_wanted = False
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)


@asynccontextmanager
async def risk_process(chancery: Chancery, more: Mapping[str, str]) -> AsyncIterator[RiskProcess]:
    """Ready, with settings of its own; gone afterwards. What earlier tests did in the stack's own feed is no news to it."""
    opened = RiskProcess(chancery=chancery, more=more)
    if "CHANCERY_PUBLIC_TOPIC" not in more:
        await _begin_at_the_end(chancery.settings, opened.group)
    await opened.start()
    keeping = asyncio.create_task(opened.keep_alive())
    try:
        await opened.until_ready()
        yield opened
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if opened.process is not None and opened.process.returncode is None:
            await opened.kill()


async def conclusions(chancery: Chancery, account_id: str) -> list[tuple[str, str]]:
    """Types and reasons of what was concluded about an account, in the order of the log."""
    async with following_log(chancery.settings, _partition(chancery, account_id)) as follower:
        await follower.more()
        return _conclusions(follower, account_id)


async def until_concluded(
    chancery: Chancery, account_id: str, *expected: tuple[str, str]
) -> list[tuple[str, str]]:
    """All conclusions about an account, once these are among them."""
    async with following_log(chancery.settings, _partition(chancery, account_id)) as follower:

        async def is_there() -> bool:
            await follower.more()
            return not Counter(expected) - Counter(_conclusions(follower, account_id))

        await eventually(is_there, within_seconds=TOLD_SECONDS)
        return _conclusions(follower, account_id)


async def _begin_at_the_end(settings: Mapping[str, str], group: str) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings["CHANCERY_KAFKA_BOOTSTRAP"], group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition("chancery.public", number) for number in range(partition_count(settings))
        ]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


def _partition(chancery: Chancery, account_id: str) -> int:
    return partition_of(account_stream(account_id), partition_count(chancery.settings))


def _conclusions(follower: LogFollower, account_id: str) -> list[tuple[str, str]]:
    return [
        (event.type, event.data["reason"])
        for counted in follower.counted.values()
        for event in counted.commit.events
        if event.stream == account_stream(account_id) and event.type in CONCLUSIONS
    ]
