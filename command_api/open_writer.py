"""A writer on the real log with all that it works with: topics verified, keys read, snapshots saved in the background."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from domain.aggregates import AGGREGATES, FOLD_VERSION
from events.streams import SIGNING_KEYS
from eventstore.errors import UnavailableError
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import key_encryption
from eventstore.keyring import Keyring
from eventstore.postgres_key_index import PostgresKeyIndex
from eventstore.postgres_write_model import PostgresSnapshots, create_write_model
from eventstore.provision import Topics, verify_topics
from eventstore.writer import Limits, Stores, Writer
from runtime.circuit import Circuit
from runtime.clock import Clock
from runtime.kafka_admin import open_admin
from runtime.logs import get_logger
from runtime.postgres import Postgres
from runtime.settings import Settings
from runtime.store_clock import StoreClock

SAVE_SECONDS = 1.0
_log = get_logger("command_api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A writer on the real log, and what it works with."""

    writer: Writer
    keyring: Keyring
    clock: Clock
    circuit: Circuit
    """Before PostgreSQL."""


@contextlib.asynccontextmanager
async def open_writer(settings: Settings, *, deadline_seconds: float) -> AsyncIterator[Opened]:
    """A writer on the real log. Partitions are read when they are first needed, or by `catch_up`."""
    async with contextlib.AsyncExitStack() as stack:
        await _verify_topics(settings)
        log = KafkaLog(settings.kafka, settings.events_topic, settings.partitions)
        store = KafkaKeyStore(settings.kafka, settings.keys_topic, settings.partitions)
        for part in (log, store):
            stack.push_async_callback(part.stop)
            await part.start()
        postgres = await Postgres.open(settings.postgres_dsn.get_secret_value())
        stack.push_async_callback(postgres.close)
        await create_write_model(postgres)
        clock = StoreClock()
        await clock.first_anchor(postgres)
        keyring = Keyring(store, key_encryption(settings), PostgresKeyIndex(postgres))
        await keyring.catch_up()
        await keyring.find_subject(SIGNING_KEYS)
        stores = Stores(log=log, keyring=keyring, snapshots=PostgresSnapshots(postgres, FOLD_VERSION))
        limits = Limits(deadline_seconds=deadline_seconds, cache_bytes=settings.stream_cache_bytes)
        writer = Writer(stores, AGGREGATES, clock, limits)
        stack.push_async_callback(writer.close)
        for work in (_keep_saved(writer, keyring, postgres), clock.run(postgres)):
            stack.push_async_callback(stop, asyncio.create_task(work))
        yield Opened(writer=writer, keyring=keyring, clock=clock, circuit=postgres.circuit)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _verify_topics(settings: Settings) -> None:
    topics = Topics.of(settings)
    async with open_admin(settings.kafka) as admin:
        await verify_topics(admin, topics, topics.events, topics.keys)


async def _keep_saved(writer: Writer, keyring: Keyring, postgres: Postgres) -> None:
    """Save what was folded, so that the next process begins near the end. Whatever fails is tried again."""
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        try:
            await keyring.catch_up()
            await writer.save()
        except UnavailableError as error:
            _log.warning("the write model is not up to date", reason=str(error))
            with contextlib.suppress(UnavailableError):
                await create_write_model(postgres)
