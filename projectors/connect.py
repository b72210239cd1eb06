"""The log and its keys, for a process that follows them: waits until Kafka is there and its topics are safe."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from eventstore.errors import UnavailableError
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import key_encryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.provision import Topics, verify_topics
from projectors.keep_going import stop_if_cancelled
from projectors.public_topic import PublicTopic
from runtime.health import Health
from runtime.kafka import KafkaUnavailableError
from runtime.kafka_admin import open_admin
from runtime.logs import get_logger
from runtime.settings import Settings

STARTING = "start"
"""The part that fails from a process's first moment until those of its consumers say for themselves how they are."""
_PAUSE_SECONDS = 1.0
_log = get_logger("projectors")


async def wait_for_topics(settings: Settings, health: Health, *names: str) -> None:
    """Return once Kafka answers. UnsafeTopicError if one of these topics could lose what it holds."""
    topics, said = Topics.of(settings), ""
    while True:
        stop_if_cancelled()
        try:
            async with open_admin(settings.kafka) as admin:
                await verify_topics(admin, topics, *names)
        except KafkaUnavailableError as error:
            health.set("kafka", _without_address(error))
            if said != str(error):
                said = str(error)
                _log.warning("waits for Kafka", reason=said)
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            health.set("kafka", None)
            return


@contextlib.asynccontextmanager
async def open_log(settings: Settings, health: Health, *, gathers: bool = False) -> AsyncIterator[KafkaLog]:
    """A log that follows its end. One consumer each: two would pull one another's place about.

    Whoever nobody waits for within 50 ms `gathers`, which spares the broker and the machine.
    """

    def make() -> KafkaLog:
        return KafkaLog(
            settings.kafka, settings.events_topic, settings.partitions, between_reads="fetch", gathers=gathers
        )

    log = make()
    while not await _has_started(log, health):
        await log.stop()
        log = make()
    try:
        yield log
    finally:
        await log.stop()


@contextlib.asynccontextmanager
async def open_keyring(settings: Settings, health: Health) -> AsyncIterator[Keyring]:
    def make() -> KafkaKeyStore:
        return KafkaKeyStore(settings.kafka, settings.keys_topic, settings.partitions)

    store = make()
    while not await _has_started(store, health):
        await store.stop()
        store = make()
    try:
        yield Keyring(store, key_encryption(settings), MemoryKeyIndex())
    finally:
        await store.stop()


@contextlib.asynccontextmanager
async def open_public_topic(settings: Settings, health: Health) -> AsyncIterator[PublicTopic]:
    def make() -> PublicTopic:
        return PublicTopic(settings.kafka, settings.public_topic, settings.partitions)

    topic = make()
    while not await _has_started(topic, health):
        await topic.stop()
        topic = make()
    try:
        yield topic
    finally:
        await topic.stop()


async def _has_started(part: KafkaLog | KafkaKeyStore | PublicTopic, health: Health) -> bool:
    try:
        await part.start()
    except UnavailableError as error:
        health.set("kafka", _without_address(error))
        await asyncio.sleep(_PAUSE_SECONDS)
        return False
    health.set("kafka", None)
    return True


def _without_address(error: Exception) -> str:
    """Our errors end with what happened; health is told to anybody who asks."""
    return f"Kafka does not answer: {str(error).rpartition(': ')[2]}"
