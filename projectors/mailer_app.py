"""The process `mailer`. Wiring only."""

import asyncio
import contextlib

from prometheus_client import CollectorRegistry

from projectors.allowances import Allowances
from projectors.bounces import PATIENCE_SECONDS, BounceReporter
from projectors.connect import STARTING, open_keyring, open_log, wait_for_topics
from projectors.mail_desk import PostOffice
from projectors.mailer import Mailer
from projectors.metrics import Metrics
from projectors.system_commands import CommandApi
from projectors.turns import Sharing
from runtime.circuit import show_circuits
from runtime.clock import Clock
from runtime.codes import MailedCodes
from runtime.health import Health
from runtime.keys import derive_keys
from runtime.mail import SmtpSender, SmtpServer
from runtime.postgres import Postgres
from runtime.serving.worker import Rest
from runtime.settings import Settings, SettingsError, secret_bytes
from runtime.store_clock import StoreClock


async def run(settings: Settings, health: Health, registry: CollectorRegistry, rest: Rest) -> None:
    """Until cancelled; then everything is closed. What is in hand is finished once `rest` is asked."""
    clock = StoreClock()
    office = _post_office(settings, clock)
    health.set(STARTING, "is not connected yet")
    await wait_for_topics(settings, health, settings.events_topic, settings.keys_topic)
    async with contextlib.AsyncExitStack() as opened:
        keyring = await opened.enter_async_context(open_keyring(settings, health))
        log = await opened.enter_async_context(open_log(settings, health, gathers=True))
        postgres = await Postgres.open(settings.postgres_dsn.get_secret_value(), max_connections=3)
        opened.push_async_callback(postgres.close)
        show_circuits(registry, postgres=postgres.circuit)
        commands = CommandApi.of(settings, "mailer", patience_seconds=PATIENCE_SECONDS)
        opened.push_async_callback(commands.close)
        metrics, sharing = Metrics(registry), Sharing(postgres=postgres, rest=rest)
        mailer = Mailer(log, keyring, sharing, office, health, metrics)
        bounces = BounceReporter(sharing, commands, clock, health, metrics)
        health.set(STARTING, None)
        async with asyncio.TaskGroup() as tasks:
            for work in (clock.run(postgres), mailer.run(), bounces.run()):
                tasks.create_task(work)


def _post_office(settings: Settings, clock: Clock) -> PostOffice:
    keys = derive_keys(secret_bytes(settings.secret_key))
    try:
        sender = SmtpSender(SmtpServer.of(settings), settings.mail_from)
    except OSError as error:
        raise SettingsError(f"CHANCERY_SMTP_TLS_AUTHORITY cannot be used: {error.strerror}") from None
    allowances = Allowances(
        mailbox_key=keys.mailbox_key, mails=settings.limit_mails, notices=settings.limit_notice_mails
    )
    return PostOffice(sender=sender, codes=MailedCodes(keys), allowances=allowances, clock=clock)
