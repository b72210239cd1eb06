"""A mailer that dies between any two of its statements loses no mail, and repeats one only under its Message-ID."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from eventstore.chain import ChainReader, Counted
from eventstore.facts import RecordedFact
from eventstore.memory_log import MemoryLog
from projectors.follower import Follower, read_log_id
from projectors.mail_desk import Desk
from projectors.mails import HANDLES, PlannedMail
from projectors.metrics import Metrics
from readmodels.sent_mails import MailOutcome, SentMail, record_mail
from readmodels.tables import create_tables
from runtime.clock import utc_now
from runtime.health import Health
from runtime.postgres import Connection, Postgres, Row
from tests.support.mail_judge import mail_faults, repetitions
from tests.support.mailers import in_the_clear, post_office, sign_up
from tests.support.memory_keys import KeyTopic
from tests.support.mortal import KilledError
from tests.support.post import PostBox, post_box
from tests.support.scribe import Scribe
from tests.support.writers import new_log

DOMAIN = "chancery.localhost"
MOST_STATEMENTS = 60


class Life:
    """So many statements are left of it."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def spend(self) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1


class MortalConnection(Connection):
    """Dies before a statement, or after a commit that it never hears of."""

    def __init__(self, connection: Connection, life: Life) -> None:
        self._connection = connection
        self._life = life

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        self._life.spend()
        return await self._connection.fetch(sql, *values)

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        self._life.spend()
        return await self._connection.fetch_one(sql, *values)

    async def execute(self, sql: str, *values: Any) -> None:
        self._life.spend()
        await self._connection.execute(sql, *values)

    @contextlib.asynccontextmanager
    async def transaction(self, *, is_snapshot: bool = False) -> AsyncIterator[Connection]:
        async with self._connection.transaction(is_snapshot=is_snapshot) as tx:
            yield MortalConnection(tx, self._life)
        self._life.spend()


class HastyDesk(Desk):
    """The bug that the test is to find: it takes the mail for sent before it is."""

    async def _deliver(self, fact: RecordedFact, mail: PlannedMail) -> MailOutcome:
        hasty = SentMail(
            message_id=mail.message_id, partition=0, seq=1, offset=1, sent_at=utc_now(), outcome="sent"
        )
        await record_mail(self._connection, hasty)
        return await super()._deliver(fact, mail)


async def handle_all(
    desk_of: type[Desk], connection: Connection, log: MemoryLog, keys: KeyTopic, box: PostBox
) -> None:
    office = post_office(in_the_clear(box.port))
    desk = desk_of(connection, 0, office, Health(), Metrics(CollectorRegistry()))
    head = await desk.open(await read_log_id(log, 0))
    follower = Follower(log, keys.keyring(), 0, head, HANDLES)
    batch = await follower.next(wait_seconds=0.01)
    if batch is not None:
        await desk.handle(batch)


async def counted(log: MemoryLog) -> dict[str, Counted]:
    chain = ChainReader(0, 1)
    admitted = [chain.admit(record) for record in await log.read(0, 0, wait_seconds=1)]
    return {str(one.position): one for one in admitted if one is not None}


async def die_everywhere(postgres: Postgres, desk_of: type[Desk]) -> tuple[list[str], int]:
    """The faults of lives of every length, each followed by one that ends well, and how many mails came again."""
    faults, again = list[str](), 0
    for statements in range(MOST_STATEMENTS):
        await postgres.execute("drop schema if exists chancery_mailer cascade")
        await create_tables(postgres)
        log, keys = await new_log(), KeyTopic()
        scribe = Scribe(log, keys.keyring())
        for name in ("one", "gone", "two"):
            await sign_up(scribe, f"{name}@example.com")
        life = Life(statements)
        async with post_box() as box, postgres.dedicated() as connection:
            box.refused_recipients.add("gone@example.com")
            with contextlib.suppress(KilledError):
                await handle_all(desk_of, MortalConnection(connection, life), log, keys, box)
            await handle_all(desk_of, connection, log, keys, box)
        owed = await postgres.fetch("select message_id from chancery_mailer.bounces")
        expected = {row["message_id"] for row in owed}
        if len(expected) != 1:
            faults.append(f"unowed: {len(expected)} reports of one bounce")
        found = mail_faults({}, await counted(log), box.taken, DOMAIN)
        faults += [fault for fault in found if not any(one in fault for one in expected)]
        again += repetitions(box.taken)
        if life.left > 0:
            return faults, again
    raise AssertionError("the mailer needs more statements than this test lets it make")


async def test_dying_anywhere_loses_no_mail_and_owes_every_report(postgres: Postgres) -> None:
    faults, again = await die_everywhere(postgres, Desk)
    assert faults == []
    assert again > 0, "the gap that SMTP leaves was never hit"


async def test_of_the_test_a_mailer_that_records_before_it_sends_is_found_out(postgres: Postgres) -> None:
    faults, _ = await die_everywhere(postgres, HastyDesk)
    assert {fault.partition(":")[0] for fault in faults} == {"lost", "unowed"}
