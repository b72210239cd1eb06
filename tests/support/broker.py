"""A real Kafka, with what happens to brokers, and topics of each test's own on it."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventstore.kafka_log import KafkaLog
from eventstore.provision import Topics, create_topics
from localstack.ports import LOOPBACK, free_port_variables
from localstack.probes import kafka_answers
from localstack.stack import running_stack
from runtime.kafka import KafkaUnavailableError, KafkaWriter
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from tests.support.tasks import eventually

HEAL_SECONDS = 40.0


def nobody_there() -> str:
    """An address where no broker listens."""
    return f"{LOOPBACK}:{free_port_variables()['CHANCERY_LOCAL_KAFKA_PORT']}"


def topic_names(partitions: int = 2) -> Topics:
    name = uuid.uuid4().hex[:12]
    return Topics(
        events=f"events-{name}",
        keys=f"keys-{name}",
        public=f"public-{name}",
        partitions=partitions,
        replication_factor=1,
    )


class Broker:
    """The broker of a stack, found by the pid that its supervisor tells."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self._home = home
        self.bootstrap = bootstrap

    @property
    def pid(self) -> int | None:
        state = running_stack(self._home)
        assert state is not None
        return state.processes["kafka"].pid

    def signal(self, number: signal.Signals) -> None:
        pid = self.pid
        assert pid is not None
        os.kill(pid, number)

    async def new_topics(self, partitions: int = 2) -> Topics:
        topics = topic_names(partitions)
        async with open_admin(KafkaAccess(self.bootstrap)) as admin:
            await create_topics(admin, topics)
        return topics

    async def change(self, topic: str, settings: Mapping[str, str]) -> None:
        """Give a topic these settings and no others."""
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await client.start()
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
            (response,) = await client.alter_configs([resource])
            assert [one[0] for one in response.resources] == [0], response
        finally:
            await client.close()

    async def until_it_takes_records(self) -> None:
        """Return once the broker answers, leads its partitions again and stores."""
        topics = None

        async def takes_records() -> bool:
            nonlocal topics
            if not await kafka_answers(int(self.bootstrap.rpartition(":")[2])):
                return False
            writer = KafkaWriter(KafkaAccess(self.bootstrap), timeout_seconds=2)
            try:
                topics = topics or await self.new_topics(partitions=1)
                await writer.send(topics.events, 0, b"k", b"v")
            except KafkaUnavailableError:
                return False
            finally:
                await writer.stop()
            return True

        await eventually(takes_records, within_seconds=HEAL_SECONDS)

    @asynccontextmanager
    async def killed(self) -> AsyncIterator[None]:
        """No broker at first; its supervisor starts it again. It takes records again at the block's end."""
        before = self.pid
        self.signal(signal.SIGKILL)
        try:
            yield
        finally:

            async def is_new() -> bool:
                return self.pid not in (None, before)

            await eventually(is_new, within_seconds=HEAL_SECONDS)
            await self.until_it_takes_records()

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """A broker that keeps its connections and says nothing, until the block's end."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)
            await self.until_it_takes_records()


@asynccontextmanager
async def opened(log: KafkaLog) -> AsyncIterator[KafkaLog]:
    await log.start()
    try:
        yield log
    finally:
        await log.stop()
