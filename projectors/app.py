"""The process `projectors`: PostgreSQL's read models and Valkey's revocations. Wiring only."""

import asyncio
import contextlib

from prometheus_client import CollectorRegistry

from projectors.accounts_v1 import AccountsV1
from projectors.clients_v1 import ClientsV1
from projectors.connect import open_keyring, open_log, wait_for_topics
from projectors.metrics import Metrics
from projectors.projector import Projector
from projectors.revoked_tokens_v1 import RevokedTokensV1
from projectors.runner import Runner
from projectors.sessions_v1 import SessionsV1
from projectors.signing_keys_v1 import SigningKeysV1
from projectors.tables import Tables
from projectors.valkey_v1 import ValkeyV1
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.redis import Valkey
from runtime.settings import Settings

VALKEY_SECONDS = 2.0


def table_projectors() -> tuple[Projector, ...]:
    """Everything that is built in PostgreSQL."""
    return (AccountsV1(), SessionsV1(), ClientsV1(), SigningKeysV1(), RevokedTokensV1())


async def run(settings: Settings, health: Health, registry: CollectorRegistry) -> None:
    """Until cancelled; then everything is closed."""
    metrics = Metrics(registry)
    await wait_for_topics(settings, health)
    async with contextlib.AsyncExitStack() as opened:
        keyring = await opened.enter_async_context(open_keyring(settings, health))
        tables_log = await opened.enter_async_context(open_log(settings, health))
        revocations_log = await opened.enter_async_context(open_log(settings, health))
        postgres = await Postgres.open(
            settings.postgres_dsn.get_secret_value(), max_connections=settings.partitions + 2
        )
        opened.push_async_callback(postgres.close)
        valkey = Valkey.open(settings.redis_url.get_secret_value(), timeout_seconds=VALKEY_SECONDS)
        opened.push_async_callback(valkey.close)
        tables = Tables(postgres, table_projectors(), metrics)
        revocations = ValkeyV1(valkey, metrics, partitions=settings.partitions)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Runner(tables_log, keyring, tables, health, metrics).run())
            tasks.create_task(Runner(revocations_log, keyring, revocations, health, metrics).run())
