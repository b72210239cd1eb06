"""Sends each mail that the log asks for once, in order within a partition, and forgets none.

A mail is recorded in the transaction that moves the mailer's checkpoint, once SMTP has said 250. Between
the two is the gap that SMTP leaves to everybody: a mailer that dies there sends the mail again, under the
same Message-ID. Two mailers share the partitions by locks that live in the connection that writes the
record, so whoever loses the lock cannot record either; the other stands by.

A mail that the server puts off for its recipient alone is recorded as deferred, keeps nobody waiting, and
is planned anew from its commit and tried again until it has an outcome.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from eventstore.facts import RecordedFact
from eventstore.keyring import Keyring
from eventstore.log import Log
from projectors.follower import Follower, read_again, read_log_id
from projectors.keep_going import Course, keep_going, stop_if_cancelled
from projectors.mail_desk import Desk, PostOffice
from projectors.mails import HANDLES
from projectors.metrics import Metrics
from projectors.turns import Sharing, Turns
from readmodels.sent_mails import SentMail
from runtime.health import Health
from runtime.postgres import Connection, PostgresUnavailableError

IDLE_SECONDS = 0.5


class Mailer:
    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        sharing: Sharing,
        office: PostOffice,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._office = office
        self._health = health
        self._metrics = metrics
        self._courses = [Course("mailer", n, health, metrics) for n in range(log.partitions)]
        for course in self._courses:
            course.waits("has not reached the end of the log yet")
        self._session = Course("mailer-session", 0, health, metrics)
        self._turns = Turns(sharing, self._session, self._courses, self._keep_mailing)

    async def run(self) -> None:
        """Until cancelled."""
        await keep_going(self._session, lambda: asyncio.create_task(self._turns.take()))

    async def _keep_mailing(self, connection: Connection, course: Course) -> None:
        desk = Desk(connection, course.partition, self._office, self._health, self._metrics)
        await keep_going(course, partial(self._follow, desk, course), (PostgresUnavailableError,))

    async def _follow(self, desk: "Desk", course: Course) -> None:
        log_id = await read_log_id(self._log, course.partition)
        head = await desk.open(log_id)
        follower = Follower(self._log, self._keyring, course.partition, head, HANDLES)
        end = await self._log.end(course.partition, at_least=head.next_offset)
        while not course.is_resting:
            stop_if_cancelled()
            if follower.head.next_offset >= end:
                course.reached_end()
            await desk.retry_deferred(self._read_again)
            batch = await follower.next(wait_seconds=IDLE_SECONDS)
            if batch is None:
                await desk.settle(follower.head)
            else:
                await desk.handle(batch)

    async def _read_again(self, mail: SentMail) -> Sequence[RecordedFact]:
        """The facts of interest of a commit that was found to count when its mail was deferred."""
        return await read_again(self._log, self._keyring, mail.partition, mail.offset, mail.seq, HANDLES)
