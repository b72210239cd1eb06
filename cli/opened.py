"""What commands that read the log work with: opened at once or not at all, and closed whatever happens."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.kafka_log import KafkaLog
    from eventstore.keyring import Keyring
    from runtime.postgres import Postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    log: "KafkaLog"
    keyring: "Keyring"
    postgres: "Postgres"


@asynccontextmanager
async def opened_postgres() -> "AsyncIterator[Postgres]":
    from runtime.postgres import Postgres
    from runtime.settings import load_settings

    postgres = await Postgres.open(load_settings().postgres_dsn.get_secret_value())
    try:
        yield postgres
    finally:
        await postgres.close()


@asynccontextmanager
async def opened_log() -> AsyncIterator[Opened]:
    from eventstore.kafka_keys import KafkaKeyStore
    from eventstore.kafka_log import KafkaLog
    from eventstore.key_encryption import key_encryption
    from eventstore.key_index import MemoryKeyIndex
    from eventstore.keyring import Keyring
    from runtime.settings import load_settings

    settings = load_settings()
    where = settings.kafka
    log = KafkaLog(where, settings.events_topic, settings.partitions, between_reads="fetch")
    store = KafkaKeyStore(where, settings.keys_topic, settings.partitions)
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(opened_postgres())
        stack.push_async_callback(log.stop)
        stack.push_async_callback(store.stop)
        await log.start()
        await store.start()
        keyring = Keyring(store, key_encryption(settings), MemoryKeyIndex())
        yield Opened(log=log, keyring=keyring, postgres=postgres)
