"""The process `mailer`. Wiring only."""

import contextlib
from functools import partial

from prometheus_client import CollectorRegistry

from projectors.connect import open_keyring, open_log, wait_for_topics
from projectors.mailer import Mailer, PostOffice
from projectors.metrics import Metrics
from runtime.clock import utc_now
from runtime.codes import verification_code
from runtime.health import Health
from runtime.keys import derive_keys
from runtime.mail import SmtpSender
from runtime.postgres import Postgres
from runtime.settings import Settings, secret_bytes


async def run(settings: Settings, health: Health, registry: CollectorRegistry) -> None:
    """Until cancelled; then everything is closed."""
    code_key = derive_keys(secret_bytes(settings.secret_key)).code_key
    office = PostOffice(
        sender=SmtpSender(settings.smtp_host, settings.smtp_port, settings.mail_from),
        code_for=partial(verification_code, code_key),
        clock=utc_now,
    )
    await wait_for_topics(settings, health)
    async with contextlib.AsyncExitStack() as opened:
        keyring = await opened.enter_async_context(open_keyring(settings, health))
        log = await opened.enter_async_context(open_log(settings, health))
        postgres = await Postgres.open(settings.postgres_dsn.get_secret_value(), max_connections=2)
        opened.push_async_callback(postgres.close)
        await Mailer(log, keyring, postgres, office, health, Metrics(registry)).run()
