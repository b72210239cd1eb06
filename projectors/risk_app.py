"""The process `risk`. Wiring only. It opens nothing that is sealed, and reads nothing but the public topic."""

import contextlib
from datetime import timedelta

from prometheus_client import CollectorRegistry

from projectors.connect import STARTING, wait_for_topics
from projectors.metrics import Metrics
from projectors.risk.counting import Broker
from projectors.risk.rules import Limits
from projectors.risk.topics import create_own_topics
from projectors.risk.worker import Worker
from projectors.system_commands import CommandApi
from runtime.health import Health
from runtime.serving.worker import Rest
from runtime.settings import Settings

ATTEMPTS_SECONDS = 5.0


async def run(settings: Settings, health: Health, registry: CollectorRegistry, _: Rest) -> None:
    """Until cancelled, or until something failed that only a new start can mend; then everything is closed.

    What was counted twice has no second effect, so nothing is to be finished first.
    """
    health.set(STARTING, "is not connected yet")
    await wait_for_topics(settings, health, settings.public_topic)
    limits = limits_of(settings)
    await create_own_topics(
        settings.kafka,
        settings.risk_group,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        window=limits.window,
    )
    async with contextlib.AsyncExitStack() as opened:
        api = CommandApi.of(settings, "risk", patience_seconds=ATTEMPTS_SECONDS)
        opened.push_async_callback(api.close)
        health.set("risk", "has not read its tables yet")
        health.set(STARTING, None)
        worker = Worker(api, health, Metrics(registry))
        await worker.run(broker_of(settings), limits)


def broker_of(settings: Settings) -> Broker:
    return Broker(
        access=settings.kafka,
        group=settings.risk_group,
        public_topic=settings.public_topic,
        partitions=settings.partitions,
    )


def limits_of(settings: Settings) -> Limits:
    return Limits(
        window=timedelta(seconds=settings.risk_window_seconds),
        failures=settings.risk_failures,
        reuses=settings.risk_refresh_reuses,
        arrivals=settings.risk_unfamiliar_sign_ins,
        accounts_of_source=settings.risk_accounts_of_source,
    )
