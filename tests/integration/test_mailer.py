"""The mailer on a real database and real SMTP: once, in order, never too late, whatever fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from events.account import SignUpRepeated, VerificationRequested
from eventstore.log import Log
from runtime.clock import utc_now
from runtime.health import Health
from runtime.mail import SmtpServer
from runtime.postgres import Postgres
from tests.support.certificates import new_certificate
from tests.support.examples import MINUTE
from tests.support.mailers import (
    CODES,
    are_outcomes,
    in_the_clear,
    is_well,
    new_mailer,
    outcomes,
    post_office,
    recipients,
    says,
    sign_up,
)
from tests.support.memory_keys import KeyTopic
from tests.support.people import session_of, stream_of
from tests.support.post import PostBox, post_box
from tests.support.scribe import Scribe
from tests.support.smtp_servers import smtp_server
from tests.support.tasks import eventually, running
from tests.support.writers import new_log


@pytest.fixture
async def box() -> AsyncIterator[PostBox]:
    async with post_box() as box:
        yield box


class GreyBox(PostBox):
    """Puts off the mails of some recipients."""

    def __init__(self) -> None:
        super().__init__()
        self.deferred_recipients: set[str] = set()
        self.deferrals = 0

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.deferred_recipients:
            self.deferrals += 1
            return "450 Later"
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.fixture
async def grey_box() -> AsyncIterator[GreyBox]:
    box, loop = GreyBox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="test", loop=loop), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    with contextlib.closing(server):
        yield box


async def test_a_sign_up_is_mailed_its_code_once_also_across_restarts(
    postgres: Postgres, box: PostBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    account_id = await sign_up(scribe, "ada@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    await sign_up(scribe, "bob@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent", "sent"]))
    assert recipients(box) == ["ada@example.com", "bob@example.com"]
    assert box.taken[0].code == CODES.verification(f"challenge-{account_id}")


async def test_mails_that_are_too_late_or_have_no_address_are_never_sent(
    postgres: Postgres, box: PostBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    await sign_up(scribe, "late@example.com", minutes_ago=16)
    erased = await sign_up(scribe, "erased@example.com")
    keys.erase(stream_of(erased))
    account_id = await sign_up(scribe, "ada@example.com")
    stream, now = stream_of(account_id), datetime.now(UTC)
    notice = SignUpRepeated(notice_id="n1", email="ada@example.com")
    await scribe.write(stream, notice, at=now - timedelta(minutes=61))
    await scribe.write(stream, replace(notice, notice_id="n2"), at=now)
    again = VerificationRequested(
        challenge_id="challenge-2",
        code_expires_at=now + 15 * MINUTE,
        registered_at=now,
        email="ada@example.com",
    )
    await scribe.write(stream, session_of(account_id), again)
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        expected = ["expired", "erased", "sent", "expired", "sent", "sent"]
        await eventually(lambda: are_outcomes(postgres, expected))
    assert recipients(box) == ["ada@example.com"] * 3
    assert [mail.code is None for mail in box.taken] == [False, True, False]


async def test_mail_waits_for_smtp_in_order_and_the_refused_are_passed(
    postgres: Postgres, box: PostBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe, health = Scribe(log, keys.keyring()), Health()
    for name in ("one", "two", "gone", "spam", "three"):
        await sign_up(scribe, f"{name}@example.com")
    box.answers.extend(["250 Kept", "421 Later", "421 Later", "250 Kept", "554 Not this"])
    box.refused_recipients.add("gone@example.com")
    async with running(new_mailer(log, keys, postgres, box.port, health).run()):
        await eventually(lambda: says(health, "SMTP 421"))
        expected = ["sent", "sent", "refused", "refused", "sent"]
        await eventually(lambda: are_outcomes(postgres, expected))
        await eventually(lambda: is_well(health))
    assert recipients(box) == ["one@example.com", "two@example.com", "three@example.com"]


async def test_a_mail_put_off_for_its_recipient_keeps_nobody_waiting_and_arrives_once(
    postgres: Postgres, grey_box: GreyBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe, health = Scribe(log, keys.keyring()), Health()
    for name in ("one", "grey", "two"):
        await sign_up(scribe, f"{name}@example.com")
    grey_box.deferred_recipients.add("grey@example.com")
    async with running(new_mailer(log, keys, postgres, grey_box.port, health).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent", "deferred", "sent"]))
        assert recipients(grey_box) == ["one@example.com", "two@example.com"]
        await eventually(lambda: is_well(health))
        await eventually(lambda: has_deferred(grey_box, 3))
        grey_box.deferred_recipients.clear()
        await eventually(lambda: are_outcomes(postgres, ["sent"] * 3))
        await sign_up(scribe, "three@example.com")
        await eventually(lambda: are_outcomes(postgres, ["sent"] * 4))
    assert recipients(grey_box) == [f"{name}@example.com" for name in ("one", "two", "grey", "three")]


async def test_deferred_mails_outlive_the_mailer_and_end_as_the_server_says(
    postgres: Postgres, grey_box: GreyBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    grey = ("grey", "gone", "erased", "still")
    ids = [await sign_up(scribe, f"{name}@example.com") for name in grey]
    grey_box.deferred_recipients.update(f"{name}@example.com" for name in grey)
    grey_box.answers.append("451 Not this text now")
    await sign_up(scribe, "text@example.com")
    async with running(new_mailer(log, keys, postgres, grey_box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["deferred"] * 4 + ["sent"]))
    grey_box.deferred_recipients = {"still@example.com"}
    grey_box.refused_recipients.add("gone@example.com")
    keys.erase(stream_of(ids[2]))
    async with running(new_mailer(log, keys, postgres, grey_box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent", "refused", "erased", "deferred", "sent"]))
    assert sorted(recipients(grey_box)) == ["grey@example.com", "text@example.com"]
    assert grey_box.taken[-1].code == CODES.verification(f"challenge-{ids[0]}")


async def test_a_deferred_mail_expires(postgres: Postgres, grey_box: GreyBox) -> None:
    log, keys = await new_log(), KeyTopic()
    await sign_up(Scribe(log, keys.keyring()), "grey@example.com")
    grey_box.deferred_recipients.add("grey@example.com")
    async with running(new_mailer(log, keys, postgres, grey_box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["deferred"]))
    grey_box.deferred_recipients.clear()
    office = post_office(in_the_clear(grey_box.port), clock=lambda: utc_now() + 16 * MINUTE)
    mailer = new_mailer(log, keys, postgres, office)
    async with running(mailer.run()):
        await eventually(lambda: are_outcomes(postgres, ["expired"]))
    assert recipients(grey_box) == []


async def test_smtp_that_is_down_loses_nothing(postgres: Postgres) -> None:
    log, keys = await new_log(), KeyTopic()
    await sign_up(Scribe(log, keys.keyring()), "ada@example.com")
    health = Health()
    async with post_box() as closed:
        port = closed.port
    async with running(new_mailer(log, keys, postgres, port, health).run()):
        await eventually(lambda: says(health, "SMTP: SMTPConnectError"))
        assert await are_outcomes(postgres, [])
    async with post_box() as box, running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
        assert recipients(box) == ["ada@example.com"]


async def test_two_mailers_send_no_mail_twice_and_the_second_takes_over(
    postgres: Postgres, box: PostBox
) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    first, second = (new_mailer(log, keys, postgres, box.port) for _ in range(2))
    async with running(second.run()):
        async with running(first.run()):
            for number in range(10):
                await sign_up(scribe, f"{number}@example.com", partition=number % 2)
            await eventually(lambda: are_outcomes(postgres, ["sent"] * 10))
        await sign_up(scribe, "last@example.com", partition=1)
        await sign_up(scribe, "last@example.com", partition=0)
        await eventually(lambda: are_outcomes(postgres, ["sent"] * 12))
    assert len(box.taken) == len({mail.message_id for mail in box.taken}) == 12


async def test_a_mail_taken_but_not_recorded_comes_again_under_the_same_id(
    postgres: Postgres, box: PostBox
) -> None:
    """The gap that SMTP leaves: dying between its 250 and our record."""
    log, keys = await new_log(), KeyTopic()
    await sign_up(Scribe(log, keys.keyring()), "ada@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    await postgres.execute("delete from chancery_mailer.sent_mails")
    await postgres.execute(
        "update chancery_mailer.checkpoints set seq = 0, hash = $1, next_offset = 1", await genesis_hash(log)
    )
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    assert len({mail.message_id for mail in box.taken}) == 1
    assert len(box.taken) == 2


async def test_a_record_alone_keeps_a_mail_from_being_sent_again(postgres: Postgres, box: PostBox) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    await sign_up(scribe, "ada@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    await postgres.execute("delete from chancery_mailer.checkpoints")
    await sign_up(scribe, "bob@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent", "sent"]))
    assert recipients(box) == ["ada@example.com", "bob@example.com"]


async def test_read_models_that_are_dropped_send_no_mail_again(postgres: Postgres, box: PostBox) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    await sign_up(scribe, "ada@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    await postgres.execute("drop schema chancery cascade")
    await sign_up(scribe, "bob@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent", "sent"]))
    assert recipients(box) == ["ada@example.com", "bob@example.com"]


async def test_a_mailer_of_another_log_sends_nothing(postgres: Postgres, box: PostBox) -> None:
    log, keys = await new_log(), KeyTopic()
    await sign_up(Scribe(log, keys.keyring()), "ada@example.com")
    async with running(new_mailer(log, keys, postgres, box.port).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
    other, health = await new_log(), Health()
    await sign_up(Scribe(other, keys.keyring()), "bob@example.com")
    async with running(new_mailer(other, keys, postgres, box.port, health).run()):
        await eventually(lambda: says(health, "drop the schema chancery_mailer"))
    assert recipients(box) == ["ada@example.com"]


async def test_a_lost_database_connection_is_replaced_and_its_locks_with_it(
    postgres: Postgres, box: PostBox
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe, health = Scribe(log, keys.keyring()), Health()
    async with running(new_mailer(log, keys, postgres, box.port, health).run()):
        for number in range(1, 4):
            await sign_up(scribe, f"{number}@example.com")
            await eventually(lambda number=number: are_outcomes(postgres, ["sent"] * number))  # type: ignore[misc]  # bound now
            await postgres.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await eventually(lambda: is_well(health))
    assert len(box.taken) == 3


async def test_poison_halts_its_partition_and_the_other_is_mailed(postgres: Postgres, box: PostBox) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe, health = Scribe(log, keys.keyring()), Health()
    await log.append(0, b"k", b"\xff")
    await sign_up(scribe, "ada@example.com", partition=1)
    async with running(new_mailer(log, keys, postgres, box.port, health).run()):
        await eventually(lambda: are_outcomes(postgres, ["sent"]))
        await eventually(lambda: says(health, "partition 0, offset 1"))
    assert recipients(box) == ["ada@example.com"]


async def genesis_hash(log: Log) -> str:
    return (await Scribe(log, KeyTopic().keyring()).head(0)).hash


async def has_deferred(box: GreyBox, times: int) -> bool:
    return box.deferrals >= times


async def test_a_mailer_is_ready_also_while_mail_never_ceases(postgres: Postgres, box: PostBox) -> None:
    log, keys, health = await new_log(), KeyTopic(), Health()
    scribe = Scribe(log, keys.keyring())

    async def sign_up_for_ever() -> None:
        while True:
            await sign_up(scribe, "ada@example.com")
            await asyncio.sleep(0.1)  # much less than a partition must be silent to be called idle

    async def is_ready() -> bool:
        return health.failing() == {}

    mailer = new_mailer(log, keys, postgres, box.port, health)
    async with running(sign_up_for_ever(), mailer.run()):
        assert health.failing() != {}
        await eventually(is_ready, within_seconds=5)


async def test_a_mail_waits_for_a_server_that_encrypts_and_says_why(
    postgres: Postgres, tmp_path: Path
) -> None:
    log, keys, health = await new_log(), KeyTopic(), Health()
    await sign_up(Scribe(log, keys.keyring()), "ada@example.com")
    certificate = new_certificate(tmp_path / "tls", "127.0.0.1")
    async with smtp_server("refuses-starttls", certificate.server_context()) as there:
        server = SmtpServer(
            host="127.0.0.1",
            port=there.box.port,
            encryption="starttls",
            authority=str(certificate.authority),
        )
        async with running(new_mailer(log, keys, postgres, post_office(server), health).run()):
            await eventually(lambda: says(health, "SMTP 454"))
            there.behaviour = "stripped"
            await eventually(lambda: says(health, "STARTTLS extension not supported"))
            assert (there.box.said, await outcomes(postgres)) == ([], [])
            there.behaviour = "starttls"
            await eventually(lambda: are_outcomes(postgres, ["sent"]))
            await eventually(lambda: is_well(health))
    assert recipients(there.box) == ["ada@example.com"]
    assert there.box.said == ["encrypted"]
