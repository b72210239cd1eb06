"""Mails that an owner's server refused for good, as scenarios."""

from dataclasses import replace

from domain.account import AGGREGATE
from domain.account_commands import ReportMailBounced
from domain.account_state import MAX_BOUNCED
from domain.refusals import UnknownAccount
from events.account import AccountClosed, AccountDisabled, AccountEnabled, MailBounced, RegistrationDiscarded
from tests.support.examples import MINUTE, NOON, REGISTERED, VERIFIED
from tests.support.scenario import given

REPORT = ReportMailBounced(message_id="<m1@example.com>", kind="verification", at=NOON)
BOUNCED = MailBounced(message_id="<m1@example.com>", kind="verification", bounced_at=NOON)
DISABLED = AccountDisabled(disabled_at=NOON)


def test_a_bounced_mail_is_a_fact_whether_or_not_the_address_was_proven() -> None:
    given(AGGREGATE, REGISTERED).when(REPORT).then(BOUNCED)
    given(AGGREGATE, REGISTERED, VERIFIED).when(REPORT).then(BOUNCED)
    given(AGGREGATE, REGISTERED, VERIFIED, DISABLED).when(REPORT).then(BOUNCED)


def test_the_same_mail_bounces_once() -> None:
    again = replace(REPORT, at=NOON + MINUTE)
    given(AGGREGATE, REGISTERED, BOUNCED).when(again).then_nothing()
    given(AGGREGATE, REGISTERED, BOUNCED, VERIFIED).when(again).then_nothing()
    given(AGGREGATE, REGISTERED, VERIFIED, BOUNCED).when(again).then_nothing()
    enabled = AccountEnabled(enabled_at=NOON)
    given(AGGREGATE, REGISTERED, VERIFIED, DISABLED, BOUNCED, enabled).when(again).then_nothing()


def test_as_many_are_remembered_as_an_account_may_hold() -> None:
    mails = [replace(BOUNCED, message_id=f"<m{n}@example.com>") for n in range(1, MAX_BOUNCED + 2)]
    many = given(AGGREGATE, REGISTERED, VERIFIED, *mails)
    assert len(many.state.bounced) == MAX_BOUNCED
    many.when(replace(REPORT, message_id=mails[-1].message_id)).then_nothing()
    many.when(replace(REPORT, message_id=mails[0].message_id)).then(mails[0])


def test_nothing_is_kept_of_a_closed_account_and_nobody_is_told_of_an_unknown_one() -> None:
    closed = AccountClosed(closed_at=NOON, erase_after=NOON)
    given(AGGREGATE, REGISTERED, VERIFIED, closed).when(REPORT).then_nothing()
    given(AGGREGATE).when(REPORT).then_refused(UnknownAccount)
    given(AGGREGATE, REGISTERED, RegistrationDiscarded(cause="superseded")).when(REPORT).then_refused(
        UnknownAccount
    )
