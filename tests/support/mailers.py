"""A mailer for a test, people who sign up, and what became of their mails."""

from dataclasses import replace
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from eventstore.log import Log
from projectors.allowances import Allowances
from projectors.mail_desk import PostOffice
from projectors.mailer import Mailer
from projectors.metrics import Metrics
from projectors.turns import Sharing
from runtime.clock import Clock, utc_now
from runtime.codes import MailedCodes
from runtime.health import Health
from runtime.keys import derive_keys
from runtime.mail import SmtpSender, SmtpServer
from runtime.postgres import Postgres
from tests.support.examples import MINUTE
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, stream_of
from tests.support.post import PostBox
from tests.support.scribe import Scribe

KEYS = derive_keys(b"a key for codes")
CODES = MailedCodes(KEYS)
FROM = "Chancery <no-reply@chancery.localhost>"
ALLOWANCES = Allowances(mailbox_key=KEYS.mailbox_key, mails=10, notices=30)


def in_the_clear(port: int) -> SmtpServer:
    return SmtpServer(host="127.0.0.1", port=port, encryption="none")


def post_office(
    server: SmtpServer, *, clock: Clock = utc_now, allowances: Allowances = ALLOWANCES
) -> PostOffice:
    return PostOffice(
        sender=SmtpSender(server, FROM), codes=CODES, allowances=allowances, clock=clock, retry_seconds=0.1
    )


def new_mailer(
    log: Log,
    keys: KeyTopic,
    postgres: Postgres,
    office: PostOffice | int,
    health: Health | None = None,
    registry: CollectorRegistry | None = None,
) -> Mailer:
    """`office` may be just the port of an SMTP server."""
    if isinstance(office, int):
        office = post_office(in_the_clear(office))
    metrics = Metrics(registry or CollectorRegistry())
    return Mailer(log, keys.keyring(), Sharing(postgres=postgres), office, health or Health(), metrics)


async def sign_up(scribe: Scribe, email: str, *, minutes_ago: int = 0, partition: int = 0) -> str:
    account_id = account_id_in(partition)
    at = datetime.now(UTC) - minutes_ago * MINUTE
    await scribe.write(stream_of(account_id), replace(registered(account_id, at), email=email), at=at)
    return account_id


async def outcomes(postgres: Postgres) -> list[str]:
    rows = await postgres.fetch("select outcome from chancery_mailer.sent_mails order by partition, seq")
    return [row["outcome"] for row in rows]


async def are_outcomes(postgres: Postgres, expected: list[str]) -> bool:
    there = await postgres.fetch_one("select to_regclass('chancery_mailer.sent_mails') is not null as there")
    assert there is not None
    return bool(there["there"]) and await outcomes(postgres) == expected


def recipients(box: PostBox) -> list[str]:
    return [mail.to for mail in box.taken]


async def says(health: Health, words: str) -> bool:
    return any(words in reason for reason in health.failing().values())


async def is_well(health: Health) -> bool:
    return health.failing() == {}
