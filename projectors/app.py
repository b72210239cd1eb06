"""The process `projectors`: PostgreSQL's read models and Valkey's revocations. Wiring only."""

import asyncio
import contextlib
from datetime import timedelta

from prometheus_client import CollectorRegistry

from projectors.connect import STARTING, open_keyring, open_log, wait_for_topics
from projectors.lag_watch import LagWatch
from projectors.metrics import Metrics
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.turns import Sharing
from projectors.valkey_v1 import ValkeyV1
from projectors.versions import VersionWatch
from runtime.circuit import show_circuits
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.redis import Valkey
from runtime.serving.worker import Rest
from runtime.settings import Settings

VALKEY_SECONDS = 2.0


async def run(settings: Settings, health: Health, registry: CollectorRegistry, rest: Rest) -> None:
    """Until cancelled; then everything is closed. What is in hand is finished once `rest` is asked."""
    metrics = Metrics(registry)
    health.set(STARTING, "is not connected yet")
    await wait_for_topics(settings, health, settings.events_topic, settings.keys_topic)
    async with contextlib.AsyncExitStack() as opened:
        keyring = await opened.enter_async_context(open_keyring(settings, health))
        tables_log = await opened.enter_async_context(open_log(settings, health))
        revocations_log = await opened.enter_async_context(open_log(settings, health))
        postgres = await Postgres.open(
            settings.postgres_dsn.get_secret_value(), max_connections=settings.partitions + 3
        )
        opened.push_async_callback(postgres.close)
        valkey = Valkey.open(settings.redis_url.get_secret_value(), timeout_seconds=VALKEY_SECONDS)
        opened.push_async_callback(valkey.close)
        show_circuits(registry, postgres=postgres.circuit, valkey=valkey.circuit)
        tables = Tables(postgres, (), metrics)
        revocations = ValkeyV1(valkey, metrics, partitions=settings.partitions)
        runners = (
            Runner(tables_log, keyring, tables, health, metrics, Sharing(postgres=postgres, rest=rest)),
            Runner(revocations_log, keyring, revocations, health, metrics, rest),
        )
        limit = timedelta(seconds=settings.projection_lag_seconds)
        health.set(STARTING, None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(VersionWatch(postgres, tables, health, settings.changed_read_models).run())
            for runner in runners:
                tasks.create_task(runner.run())
            tasks.create_task(LagWatch(runners, postgres, health, metrics, limit).run())
