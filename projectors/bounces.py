"""Tells the Command API of mails that were refused for good, at least once each, beside the mailer and at its own pace.

What is owed stands in PostgreSQL since the transaction that recorded the refusal. A report that was made and not
noted is made again, under the same Idempotency-Key. One process at a time reports; the others stand by.
"""

import asyncio
from functools import partial

from projectors.keep_going import Course, keep_going, stop_if_cancelled
from projectors.metrics import Metrics
from projectors.system_commands import CommandApi, CommandRefusedError, CommandUnansweredError
from projectors.turns import Sharing, Turns
from readmodels.bounces import Bounce, due_reports, postpone_report, settle_report
from runtime.clock import Clock
from runtime.health import Health
from runtime.logs import get_logger
from runtime.postgres import Connection, PostgresUnavailableError

LOOK_SECONDS = 1.0
AT_A_TIME = 20
PATIENCE_SECONDS = 2.0
"""A report that is not answered within this gives way to the next one."""

_log = get_logger("bounces")


class BounceReporter:
    def __init__(
        self,
        sharing: Sharing,
        commands: CommandApi,
        clock: Clock,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._commands = commands
        self._clock = clock
        self._course = Course("bounces", 0, health, metrics)
        self._session = Course("bounces-session", 0, health, metrics)
        self._turns = Turns(sharing, self._session, [self._course], self._keep_reporting)

    async def run(self) -> None:
        """Until cancelled."""
        await keep_going(self._session, lambda: asyncio.create_task(self._turns.take()))

    async def _keep_reporting(self, connection: Connection, course: Course) -> None:
        await keep_going(course, partial(self._report_all, connection), (PostgresUnavailableError,))

    async def _report_all(self, connection: Connection) -> None:
        while not self._course.is_resting:
            stop_if_cancelled()
            await self._report_due(connection)
            self._course.reached_end()
            await asyncio.sleep(LOOK_SECONDS)

    async def _report_due(self, connection: Connection) -> None:
        """CommandUnansweredError if a report got no answer; the others were made first."""
        unanswered: CommandUnansweredError | None = None
        for bounce in await due_reports(connection, AT_A_TIME):
            stop_if_cancelled()
            try:
                await self._report(bounce)
            except CommandUnansweredError as error:
                unanswered = error
                await postpone_report(connection, bounce, self._clock())
            else:
                await settle_report(connection, bounce, self._clock())
        if unanswered is not None:
            raise unanswered

    async def _report(self, bounce: Bounce) -> None:
        try:
            await self._commands.report_mail_bounced(
                account_id=bounce.account_id, message_id=bounce.message_id, kind=bounce.kind
            )
        except CommandRefusedError as error:
            _log.warning("bounce refused", kind=bounce.kind, code=error.code)
