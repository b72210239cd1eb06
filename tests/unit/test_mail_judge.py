"""The judge of mails: a good run passes, and each rule turns red on the fault that it is there for."""

from dataclasses import replace

import pytest

from events.account import MailBounced, SignUpRepeated
from events.fact import Event
from eventstore.chain import ChainReader, Counted
from localstack.inbox import Mail
from tests.support.examples import NOON
from tests.support.mail_judge import asked_for, mail_faults, repetitions
from tests.support.memory_keys import KeyTopic
from tests.support.scribe import Scribe
from tests.support.writers import new_log

DOMAIN = "chancery.test"


async def log_of(*events: Event) -> dict[str, Counted]:
    log = await new_log()
    scribe, chain = Scribe(log, KeyTopic().keyring()), ChainReader(0, 1)
    for event in events:
        await scribe.write("account-aaaaaaaaaaaaaaaaaaaaaaaaaa", event, at=NOON)
    counted = [chain.admit(record) for record in await log.read(0, 0, wait_seconds=1)]
    return {str(one.position): one for one in counted if one is not None}


def notice(number: int) -> Event:
    return SignUpRepeated(notice_id=f"n{number}", email=f"{number}@example.com")


def mail(message_id: str, to: str = "1@example.com") -> Mail:
    return Mail(to=to, subject="s", at=NOON, code=None, text="t", message_id=message_id)


def kinds(faults: list[str]) -> list[str]:
    return [fault.partition(":")[0] for fault in faults]


@pytest.fixture
async def ids() -> list[str]:
    log = await log_of(notice(1), notice(2))
    return [next(iter(asked_for([log[at]], DOMAIN))) for at in ("0:1", "0:2")]


def refused(message_id: str) -> Event:
    return MailBounced(message_id=message_id, kind="sign-up-repeated", bounced_at=NOON)


async def test_a_run_in_which_every_mail_came_or_bounced_has_no_fault(ids: list[str]) -> None:
    log = await log_of(notice(1), notice(2), refused(ids[1]))
    assert mail_faults({}, log, [mail(ids[0]), mail(ids[0])], DOMAIN) == []
    assert repetitions([mail(ids[0]), mail(ids[0])]) == 1


async def test_a_mail_that_never_came_was_lost_unless_it_was_asked_for_before(ids: list[str]) -> None:
    log = await log_of(notice(1), notice(2))
    assert kinds(mail_faults({}, log, [mail(ids[0])], DOMAIN)) == ["lost"]
    assert mail_faults({"0:2": log["0:2"]}, log, [mail(ids[0])], DOMAIN) == []


async def test_a_mail_under_another_id_or_to_another_address_is_seen(ids: list[str]) -> None:
    log = await log_of(notice(1), notice(2))
    good = [mail(one) for one in ids]
    assert kinds(mail_faults({}, log, [*good, mail("<other@chancery.test>")], DOMAIN)) == ["stranger"]
    elsewhere = replace(good[0], to="2@example.com")
    assert kinds(mail_faults({}, log, [*good, elsewhere], DOMAIN)) == ["misdirected"]


async def test_a_bounce_of_a_mail_that_came_and_one_that_is_told_twice_are_seen(ids: list[str]) -> None:
    denied = await log_of(notice(1), refused(ids[0]))
    assert kinds(mail_faults({}, denied, [mail(ids[0])], DOMAIN)) == ["denied"]
    twice = await log_of(notice(1), refused(ids[0]), refused(ids[0]))
    assert kinds(mail_faults({}, twice, [], DOMAIN)) == ["repeated"]
