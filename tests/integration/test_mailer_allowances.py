"""How many mails a mailbox gets: a bound that holds across restarts and mailers, and that silences no owner."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from events.account import PasswordResetRequested, SignUpRepeated
from events.email_change import EmailChanged
from eventstore.memory_log import MemoryLog
from projectors.allowances import Allowances
from projectors.mail_desk import PostOffice
from readmodels.mailbox_uses import MailboxUse, take_use
from readmodels.tables import create_tables
from runtime.clock import utc_now
from runtime.postgres import Postgres
from tests.support.examples import MINUTE
from tests.support.mailers import (
    KEYS,
    are_outcomes,
    in_the_clear,
    new_mailer,
    outcomes,
    post_office,
    recipients,
    sign_up,
)
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, stream_of
from tests.support.post import PostBox, post_box
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

STRICT = Allowances(mailbox_key=KEYS.mailbox_key, mails=2, notices=3)


def strict(box: PostBox, *, later: timedelta = timedelta()) -> PostOffice:
    return post_office(in_the_clear(box.port), clock=lambda: utc_now() + later, allowances=STRICT)


async def new_scribe() -> tuple[MemoryLog, KeyTopic, Scribe]:
    log, keys = await new_log(2), KeyTopic()
    return log, keys, Scribe(log, keys.keyring())


async def repeat_sign_up(scribe: Scribe, email: str, number: int, at: datetime) -> None:
    notice = SignUpRepeated(notice_id=f"n{number}", email=email)
    await scribe.write(stream_of(account_id_in(0)), notice, at=at)


async def test_a_mailbox_gets_so_many_mails_that_anybody_can_cause_and_other_mailboxes_theirs(
    postgres: Postgres,
) -> None:
    log, keys, scribe = await new_scribe()
    registry = CollectorRegistry()
    async with post_box() as box:
        for email in ("ada@example.com", "Ada@EXAMPLE.com", "ada+tag@example.com", "bob@example.com"):
            await sign_up(scribe, email)
        async with running(new_mailer(log, keys, postgres, strict(box), registry=registry).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent", "sent", "limited", "sent"]))
    assert recipients(box) == ["ada@example.com", "Ada@example.com", "bob@example.com"]
    assert registry.get_sample_value("chancery_mails_total", {"outcome": "limited"}) == 1


async def test_the_bound_holds_across_restarts_and_partitions_and_ends_after_an_hour(
    postgres: Postgres,
) -> None:
    log, keys, scribe = await new_scribe()
    async with post_box() as box:
        await sign_up(scribe, "ada@example.com")
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent"]))
        await sign_up(scribe, "ada@example.com", partition=1)
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent", "sent"]))
            await sign_up(scribe, "ada@example.com", partition=1)
            await eventually(lambda: are_outcomes(postgres, ["sent", "sent", "limited"]))
        later = timedelta(minutes=61)
        await repeat_sign_up(scribe, "ada@example.com", 1, utc_now() + later)
        async with running(new_mailer(log, keys, postgres, strict(box, later=later)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent", "sent", "sent", "limited"]))
    assert len(box.taken) == 3


async def test_a_flood_of_sign_ups_silences_no_reset_and_nothing_silences_the_notice_of_a_change(
    postgres: Postgres,
) -> None:
    log, keys, scribe = await new_scribe()
    account_id, now = account_id_in(0), utc_now()
    stream = stream_of(account_id)
    async with post_box() as box:
        for _ in range(4):
            await sign_up(scribe, "ada@example.com")
        reset = PasswordResetRequested(
            challenge_id="c", code_expires_at=now + 15 * MINUTE, requested_at=now, email="ada@example.com"
        )
        changed = EmailChanged(
            change_id="aaaaaaaaaaaaaaaaaaaaaaaaaa",
            identifier="identifier-new",
            undo_until=now + timedelta(days=7),
            email="new@example.com",
            previous_email="ada@example.com",
        )
        for challenge in ("c1", "c2", "c3", "c4"):
            await scribe.write(stream, replace(reset, challenge_id=challenge), at=now)
        await scribe.write(stream, changed, at=now)
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            expected = [*2 * ["sent"], *2 * ["limited"], *3 * ["sent"], "limited", "sent"]
            await eventually(lambda: are_outcomes(postgres, expected))
    assert [mail.subject for mail in box.taken][-1] == "The address of your Chancery account was changed"


async def test_a_mail_that_is_sent_again_takes_no_second_place(postgres: Postgres) -> None:
    """It has one since before it was sent first: the mailer died before it could record what became of it."""
    log, keys, scribe = await new_scribe()
    async with post_box() as box:
        await sign_up(scribe, "ada@example.com")
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent"]))
        await postgres.execute("delete from chancery_mailer.sent_mails")
        await postgres.execute("delete from chancery_mailer.checkpoints")
        await sign_up(scribe, "ada@example.com")
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent", "sent"]))
    assert len({mail.message_id for mail in box.taken}) == 2


async def test_mails_that_nobody_gets_take_no_place(postgres: Postgres) -> None:
    log, keys, scribe = await new_scribe()
    async with post_box() as box:
        for minutes_ago in (20, 19, 18, 0, 0):
            await sign_up(scribe, "ada@example.com", minutes_ago=minutes_ago)
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["expired"] * 3 + ["sent"] * 2))


async def test_uses_name_no_address_and_are_forgotten_once_they_do_not_count(postgres: Postgres) -> None:
    log, keys, scribe = await new_scribe()
    async with post_box() as box:
        await sign_up(scribe, "ada@example.com")
        async with running(new_mailer(log, keys, postgres, strict(box)).run()):
            await eventually(lambda: are_outcomes(postgres, ["sent"]))
            (use,) = await postgres.fetch("select * from chancery_mailer.mailbox_uses")
            assert "ada" not in str(use).lower()
            assert len(use["mailbox"]) == 43

        async def none_is_left() -> bool:
            return await postgres.fetch("select * from chancery_mailer.mailbox_uses") == []

        later = strict(box, later=timedelta(minutes=61))
        async with running(new_mailer(log, keys, postgres, later).run()):
            await eventually(none_is_left)
    assert await outcomes(postgres) == ["sent"]


@pytest.mark.parametrize("limit", [1, 4])
async def test_many_mailers_at_once_do_not_pass_the_limit_together(postgres: Postgres, limit: int) -> None:
    await create_tables(postgres)
    now = datetime.now(UTC)

    async def ask(number: int) -> bool:
        use = MailboxUse(message_id=f"<{number}>", mailbox="box", allowance="strangers", used_at=now)
        async with postgres.dedicated() as connection:
            return await take_use(connection, use, since=now - timedelta(hours=1), limit=limit)

    for _ in range(5):
        assert sum(await asyncio.gather(*(ask(number) for number in range(16)))) == limit
        assert sum(await asyncio.gather(*(ask(number) for number in range(16)))) == limit
        await postgres.execute("delete from chancery_mailer.mailbox_uses")


async def test_a_table_from_before_an_outcome_was_thought_of_learns_of_it(postgres: Postgres) -> None:
    await create_tables(postgres)
    await postgres.execute("drop table chancery_mailer.mailbox_uses")
    await postgres.execute(
        "alter table chancery_mailer.sent_mails drop constraint sent_mails_outcome_check,"
        " add constraint sent_mails_outcome_check check (outcome in ('sent', 'refused'))"
    )
    await create_tables(postgres)
    await postgres.execute(
        "insert into chancery_mailer.sent_mails values ('<1>', 0, 1, 1, now(), 'sent'), ('<2>', 0, 2, 2, now(), 'limited')"
    )
    assert await outcomes(postgres) == ["sent", "limited"]
