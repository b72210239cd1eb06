"""One partition's mails: each is sent once its mailbox allows it, and recorded with the mailer's checkpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from eventstore.chain import Head
from eventstore.errors import CorruptLogError
from eventstore.facts import RecordedFact
from projectors.allowances import Allowances
from projectors.follower import Batch
from projectors.keep_going import OutrunError, stop_if_cancelled
from projectors.mails import PlannedMail, plan_mail
from projectors.metrics import Metrics
from readmodels.bounces import Bounce, owe_report
from readmodels.checkpoints import Checkpoint
from readmodels.sent_mails import (
    MailOutcome,
    SentMail,
    advance_checkpoint,
    begin_checkpoint,
    deferred_mails,
    is_recorded,
    lock_checkpoint,
    read_checkpoint,
    record_mail,
)
from runtime.clock import Clock
from runtime.codes import MailedCodes
from runtime.health import Health
from runtime.logs import get_logger
from runtime.mail import (
    MailDeferredError,
    MailRefusedError,
    MailUnavailableError,
    OutgoingMail,
    SmtpSender,
)
from runtime.postgres import Connection
from runtime.tracing import span

SETTLE_SECONDS = 1.0
"""Commits without mail move the checkpoint no more often than this."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
RETRY_SECONDS = 20.0
RETRIES = 100
RETRYING_SECONDS = 5.0
"""Deferred mails are looked for so often, so many at a time, and keep new ones waiting hardly longer."""

_log = get_logger("mailer")

ReadAgain = Callable[[SentMail], Awaitable[Sequence[RecordedFact]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostOffice:
    """What sending a mail needs."""

    sender: SmtpSender
    codes: MailedCodes
    allowances: Allowances
    clock: Clock
    retry_seconds: float = RETRY_SECONDS


class Desk:
    """One partition's mails and its checkpoint."""

    def __init__(
        self, connection: Connection, partition: int, office: PostOffice, health: Health, metrics: Metrics
    ) -> None:
        self._connection = connection
        self._partition = partition
        self._office = office
        self._health = health
        self._metrics = metrics
        self._known = Checkpoint(log_id="")
        self._settled_at = 0.0
        self._retry_at = 0.0

    async def open(self, log_id: str) -> Head:
        stored = await begin_checkpoint(self._connection, self._partition, log_id)
        if stored is None:
            raise OutrunError
        _require_same_log(self._partition, stored, log_id)
        self._known = stored
        return Head(seq=self._known.seq, hash=self._known.hash, next_offset=self._known.next_offset)

    async def handle(self, batch: Batch) -> None:
        for commit in batch.commits:
            planned = [(fact, self._plan(fact, self._office.sender.domain)) for fact in commit.facts]
            mails = [(fact, mail) for fact, mail in planned if mail is not None]
            for number, (fact, mail) in enumerate(mails, start=1):
                sent = await self._sent(fact, mail, commit.head.next_offset - 1)
                await self._move_on(commit.head if number == len(mails) else None, mail, sent)
        if asyncio.get_running_loop().time() - self._settled_at > SETTLE_SECONDS:
            await self.settle(batch.head)

    async def settle(self, head: Head) -> None:
        """Bring the checkpoint up to a head before which every mail was handled, and see that it still is ours."""
        if head.next_offset > self._known.next_offset:
            await self._move_on(head)
        elif await read_checkpoint(self._connection, self._partition) != self._known:
            raise OutrunError

    async def _move_on(
        self, head: Head | None, mail: PlannedMail | None = None, sent: SentMail | None = None
    ) -> None:
        """Record a mail and move the checkpoint. A mail was sent also where the checkpoint is not ours any more."""
        reached = self._known if head is None else self._checkpoint(head)
        async with self._connection.transaction() as tx:
            is_ours = await lock_checkpoint(tx, self._partition) == self._known
            if mail is not None and sent is not None:
                await _record(tx, mail, sent)
            if is_ours and reached != self._known:
                await advance_checkpoint(tx, self._partition, reached)
        if not is_ours:
            raise OutrunError
        self._known = reached
        self._settled_at = asyncio.get_running_loop().time()

    def _checkpoint(self, head: Head) -> Checkpoint:
        return Checkpoint(
            log_id=self._known.log_id, seq=head.seq, hash=head.hash, next_offset=head.next_offset
        )

    async def retry_deferred(self, read_again: ReadAgain) -> None:
        """Try what was deferred, if it is time to. A failure of the server or the log ends this look, not the next."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < self._retry_at:
            return
        self._retry_at = began + self._office.retry_seconds
        for deferred in await deferred_mails(self._connection, self._partition, RETRIES):
            stop_if_cancelled()
            mail = self._planned_again(deferred, await read_again(deferred))
            try:
                outcome = await self._try(mail)
            except MailUnavailableError:
                break
            async with self._connection.transaction() as tx:
                await _record(tx, mail, replace(deferred, sent_at=self._office.clock(), outcome=outcome))
            if outcome != "deferred":
                self._tell(mail, f"{deferred.partition}:{deferred.seq}", outcome)
            if loop.time() - began > RETRYING_SECONDS:
                break
        await self._office.allowances.forget(self._connection, self._office.clock())
        self._retry_at = loop.time() + self._office.retry_seconds

    def _planned_again(self, deferred: SentMail, facts: Sequence[RecordedFact]) -> PlannedMail:
        """The same mail under the same id, also where the sender's address was changed since."""
        domain = deferred.message_id.rpartition("@")[2].removesuffix(">")
        for mail in (self._plan(fact, domain) for fact in facts):
            if mail is not None and mail.message_id == deferred.message_id:
                return mail
        raise CorruptLogError(deferred.partition, deferred.offset, "the deferred mail is not asked for here")

    def _plan(self, fact: RecordedFact, domain: str) -> PlannedMail | None:
        return plan_mail(fact, self._office.codes, domain)

    async def _sent(self, fact: RecordedFact, mail: PlannedMail, offset: int) -> SentMail | None:
        """What became of the mail; None if a record says that it was dealt with before."""
        if await is_recorded(self._connection, mail.message_id):
            return None
        outcome = await self._deliver(fact, mail) if await self._may_go(mail) else "limited"
        self._tell(mail, str(fact.position), outcome)
        return SentMail(
            message_id=mail.message_id,
            partition=fact.position.partition,
            seq=fact.position.seq,
            offset=offset,
            sent_at=self._office.clock(),
            outcome=outcome,
        )

    async def _may_go(self, mail: PlannedMail) -> bool:
        """Whether the mailbox has room for it; a mail that nobody will get takes none."""
        now, office = self._office.clock(), self._office
        if mail.recipient is None or now >= mail.expires_at:
            return True
        return await office.allowances.allow(self._connection, mail, mail.recipient, now)

    def _tell(self, mail: PlannedMail, position: str, outcome: MailOutcome) -> None:
        self._metrics.mails.labels(outcome).inc()
        _log.info("mail", kind=mail.kind, position=position, outcome=outcome)

    async def _deliver(self, fact: RecordedFact, mail: PlannedMail) -> MailOutcome:
        """Try until the server decides, or until the mail is of no more use."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            stop_if_cancelled()
            try:
                with span(f"mail {mail.kind}", "client", fact.trace) as sending:
                    outcome = await self._try(mail)
                    sending.describe({"chancery.mail.outcome": outcome})
            except MailUnavailableError as error:
                _log.warning("mail waits", kind=mail.kind, partition=self._partition, error=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return outcome

    async def _try(self, mail: PlannedMail) -> MailOutcome:
        """What becomes of the mail now. MailUnavailableError if the server does not say."""
        now = self._office.clock()
        if mail.recipient is None:
            return "erased"
        if now >= mail.expires_at:
            return "expired"
        outgoing = OutgoingMail(
            message_id=mail.message_id,
            recipient=mail.recipient,
            subject=mail.wording.subject,
            text=mail.wording.text,
            html=mail.wording.html,
            at=now,
        )
        outcome: MailOutcome = "sent"
        try:
            await self._office.sender.send(outgoing)
        except MailRefusedError:
            outcome = "refused"
        except MailDeferredError:
            outcome = "deferred"
        except MailUnavailableError as error:
            self._health.set("smtp", str(error))
            raise
        self._health.set("smtp", None)
        return outcome


async def _record(tx: Connection, mail: PlannedMail, sent: SentMail) -> None:
    """With what is owed because of it."""
    await record_mail(tx, sent)
    if sent.outcome == "refused":
        bounce = Bounce(message_id=mail.message_id, account_id=mail.account_id, kind=mail.kind)
        await owe_report(tx, bounce, sent.sent_at)


def _require_same_log(partition: int, checkpoint: Checkpoint, log_id: str) -> None:
    """What the mailer remembers of one log says nothing of the mails of another."""
    if checkpoint.log_id != log_id:
        reason = (
            f"PostgreSQL holds the mailer's records of log {checkpoint.log_id}, and this is log {log_id}; "
            "point to another database, or drop the schema chancery_mailer to begin this log's mails anew"
        )
        raise CorruptLogError(partition, 0, reason)
