"""The process `mailer`. Wiring only."""

import asyncio
import contextlib

from prometheus_client import CollectorRegistry

from projectors.connect import STARTING, open_keyring, open_log, wait_for_topics
from projectors.mailer import Mailer, PostOffice
from projectors.metrics import Metrics
from runtime.codes import MailedCodes
from runtime.health import Health
from runtime.keys import derive_keys
from runtime.mail import SmtpSender
from runtime.postgres import Postgres
from runtime.settings import Settings, secret_bytes
from runtime.store_clock import StoreClock


async def run(settings: Settings, health: Health, registry: CollectorRegistry) -> None:
    """Until cancelled; then everything is closed."""
    codes = MailedCodes(derive_keys(secret_bytes(settings.secret_key)))
    clock = StoreClock()
    office = PostOffice(
        sender=SmtpSender(settings.smtp_host, settings.smtp_port, settings.mail_from),
        codes=codes,
        clock=clock,
    )
    health.set(STARTING, "is not connected yet")
    await wait_for_topics(settings, health)
    async with contextlib.AsyncExitStack() as opened:
        keyring = await opened.enter_async_context(open_keyring(settings, health))
        log = await opened.enter_async_context(open_log(settings, health))
        postgres = await Postgres.open(settings.postgres_dsn.get_secret_value(), max_connections=2)
        opened.push_async_callback(postgres.close)
        mailer = Mailer(log, keyring, postgres, office, health, Metrics(registry))
        health.set(STARTING, None)
        anchoring = asyncio.create_task(clock.run(postgres))
        opened.callback(anchoring.cancel)
        await mailer.run()
