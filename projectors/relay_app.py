"""The process `relay`. Wiring only. It opens nothing that is sealed, so it is given no keyring."""

import contextlib

from prometheus_client import CollectorRegistry

from projectors.connect import STARTING, open_log, open_public_topic, wait_for_topics
from projectors.metrics import Metrics
from projectors.relay import Relay
from projectors.turns import Sharing
from runtime.circuit import show_circuits
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.serving.worker import Rest
from runtime.settings import Settings


async def run(settings: Settings, health: Health, registry: CollectorRegistry, rest: Rest) -> None:
    """Until cancelled; then everything is closed. What is in hand is finished once `rest` is asked."""
    health.set(STARTING, "is not connected yet")
    await wait_for_topics(settings, health, settings.events_topic, settings.public_topic)
    async with contextlib.AsyncExitStack() as opened:
        log = await opened.enter_async_context(open_log(settings, health, gathers=True))
        public = await opened.enter_async_context(open_public_topic(settings, health))
        postgres = await Postgres.open(settings.postgres_dsn.get_secret_value(), max_connections=1)
        opened.push_async_callback(postgres.close)
        show_circuits(registry, postgres=postgres.circuit)
        relay = Relay(log, public, Sharing(postgres=postgres, rest=rest), health, Metrics(registry))
        health.set(STARTING, None)
        await relay.run()
