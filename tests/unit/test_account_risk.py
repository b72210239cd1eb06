"""An account at risk, as scenarios: what is unfamiliar, and what a worker's conclusions change."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.account import AGGREGATE
from domain.account_commands import FlagSession, NotifyOwner, Origin, Refresh, RequireStepUp, SignIn
from domain.origins import device_of, is_of_the_internet, network_of
from domain.refusals import StepUpNeeded, UnknownAccount
from domain.risk import MAX_CONCLUDED, MAX_FAMILIAR
from events.account import (
    AccountClosed,
    AccountDisabled,
    RefreshReused,
    SessionRevoked,
    SessionStarted,
    SignInFailed,
)
from events.risk import OwnerNoticeRequested, SessionFlagged, StepUpRequired
from tests.support.examples import IDLE, MINUTE, NOON, REGISTERED, VERIFIED, refreshed, sign_in, started
from tests.support.scenario import Given, given

FLAG = FlagSession(session_id="s1", reason="refresh-reuse-burst", at=NOON)
FLAGGED = SessionFlagged(session_id="s1", reason="refresh-reuse-burst", flagged_at=NOON)
STEP_UP = RequireStepUp(session_id="s1", reason="guessing-source", at=NOON)
NEEDED = StepUpRequired(session_id="s1", reason="guessing-source", required_at=NOON)
NOTIFY = NotifyOwner(notice_id="n1", reason="sign-in-failures", at=NOON)
NOTICE = OwnerNoticeRequested(
    notice_id="n1", reason="sign-in-failures", requested_at=NOON, email="Ada@example.com"
)
DISABLED = AccountDisabled(disabled_at=NOON)
CLOSED = AccountClosed(closed_at=NOON, erase_after=NOON)
REFRESH = Refresh(session_id="s1", generation=1, grace=timedelta(seconds=30), idle=IDLE, at=NOON)
REVOKED = SessionRevoked(session_id="s1", cause="sign-out")


def active(*events: object) -> Given:
    return given(AGGREGATE, REGISTERED, VERIFIED, *events)  # type: ignore[arg-type]  # facts


def sign_in_from(ip: str | None, user_agent: str | None, source: str | None = None) -> SignIn:
    return replace(sign_in("s2"), origin=Origin(ip=ip, user_agent=user_agent, source=source))


def session_from(ip: str | None, user_agent: str | None, session_id: str = "s1") -> SessionStarted:
    return replace(started(session_id), ip=ip, user_agent=user_agent)


def unfamiliar(given_account: Given, ip: str | None, user_agent: str | None) -> tuple[str, ...]:
    (fact,) = AGGREGATE.decide(given_account.state, sign_in_from(ip, user_agent))
    assert isinstance(fact, SessionStarted)
    return fact.unfamiliar


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2a3:4::5", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("testclient", None),
        ("", None),
        (None, None),
    ],
)
def test_a_network_is_as_much_as_a_household_keeps(ip: str | None, network: str | None) -> None:
    assert network_of(ip) == network


def test_only_a_public_address_is_one_that_strangers_come_from() -> None:
    public = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")
    private = ("127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd00::1", "::ffff:10.0.0.1", "", None, "x")
    assert [is_of_the_internet(ip) for ip in public] == [True] * len(public)
    assert [is_of_the_internet(ip) for ip in private] == [False] * len(private)


def test_an_update_makes_no_other_device() -> None:
    assert device_of("Firefox/128.0 (X11)") == device_of("Firefox/129.0.1 (X11)") == "Firefox/ (X)"
    assert device_of("Safari/1") != device_of("Firefox/1")
    assert [device_of(nothing) for nothing in (None, "", "1.2")] == [None] * 3
    assert len(device_of("x" * 300) or "") == 128


def test_a_first_sign_in_is_not_unfamiliar_and_a_later_one_from_elsewhere_is() -> None:
    assert unfamiliar(active(), "192.0.2.1", "phone") == ()
    known = active(session_from("192.0.2.1", "phone"))
    assert unfamiliar(known, "192.0.2.200", "phone") == ()
    assert unfamiliar(known, "198.51.100.1", "phone") == ("network",)
    assert unfamiliar(known, "192.0.2.1", "laptop") == ("device",)
    assert unfamiliar(known, "198.51.100.1", "laptop") == ("network", "device")


def test_what_is_not_known_is_not_unfamiliar() -> None:
    known = active(session_from("192.0.2.1", "phone"))
    assert unfamiliar(known, None, None) == ()
    assert unfamiliar(active(session_from(None, None)), "192.0.2.1", "phone") == ()


def test_as_many_places_are_remembered_as_an_account_may_hold_and_the_latest_stay() -> None:
    many = [session_from(f"192.0.{n}.1", f"device {chr(97 + n)}", f"s{n}") for n in range(MAX_FAMILIAR)]
    again = session_from("192.0.0.9", "device a", "again")
    one_more = session_from("192.0.99.1", "device z", "more")
    known = active(*many, again, one_more)
    assert len(known.state.risk.networks) == len(known.state.risk.devices) == MAX_FAMILIAR
    assert unfamiliar(known, "192.0.0.1", "device a") == ()
    assert unfamiliar(known, "192.0.1.1", "device b") == ("network", "device")


def test_sign_ins_that_succeed_and_fail_tell_their_source() -> None:
    (fact,) = AGGREGATE.decide(active().state, sign_in_from("192.0.2.1", "phone", "src"))
    assert isinstance(fact, SessionStarted)
    assert fact.source == "src"
    wrong = replace(sign_in(is_password_right=False), origin=Origin(ip=None, user_agent=None, source="src"))
    (failed, *_) = AGGREGATE.decide(active().state, wrong)
    assert isinstance(failed, SignInFailed)
    assert failed.source == "src"


def test_a_session_is_flagged_once_also_after_it_ended() -> None:
    active(started()).when(FLAG).then(FLAGGED)
    active(started(), REVOKED).when(FLAG).then(FLAGGED)
    active(started(), FLAGGED).when(replace(FLAG, at=NOON + MINUTE)).then_nothing()
    active(started(), REVOKED, FLAGGED).when(FLAG).then_nothing()
    active(started(), DISABLED, FLAGGED).when(FLAG).then_nothing()
    active(started(), DISABLED).when(FLAG).then(FLAGGED)


def test_a_session_that_needs_a_step_up_gets_no_new_tokens() -> None:
    active(started()).when(STEP_UP).then(NEEDED)
    active(started(), NEEDED).when(STEP_UP).then_nothing()
    active(started(), NEEDED).when(REFRESH).then_refused(StepUpNeeded)
    active(started(), refreshed(2, NOON), NEEDED).when(REFRESH).then_refused(StepUpNeeded)
    active(started(), NEEDED, refreshed(2, NOON)).when(replace(REFRESH, generation=2)).then_refused(
        StepUpNeeded
    )


def test_theft_is_seen_also_where_a_step_up_is_needed() -> None:
    late = replace(REFRESH, at=NOON + 2 * MINUTE)
    active(started(), refreshed(2, NOON), NEEDED).when(late).then(
        RefreshReused(session_id="s1", generation=1),
        SessionRevoked(session_id="s1", cause="refresh-reused"),
    )


def test_another_session_and_a_new_sign_in_are_not_concerned() -> None:
    both = active(started(), started("s2"), NEEDED)
    both.when(replace(REFRESH, session_id="s2")).then(
        replace(refreshed(2, NOON), session_id="s2"),
    )
    fresh = active(started(), NEEDED, started("s3"))
    fresh.when(replace(REFRESH, session_id="s3")).then(replace(refreshed(2, NOON), session_id="s3"))


def test_a_step_up_may_be_for_every_session_and_never_for_one_that_ended() -> None:
    everywhere = replace(STEP_UP, session_id=None)
    active(started(), started("s2"), NEEDED).when(everywhere).then(replace(NEEDED, session_id="s2"))
    active(started(), REVOKED).when(STEP_UP).then_nothing()
    active(started(), REVOKED, NEEDED).when(everywhere).then_nothing()
    active(started()).when(replace(STEP_UP, at=NOON + 100 * IDLE)).then_nothing()
    active(started(), DISABLED).when(everywhere).then_nothing()


def test_an_owner_is_told_once_and_only_while_the_account_opens() -> None:
    active().when(NOTIFY).then(NOTICE)
    active(NOTICE).when(replace(NOTIFY, at=NOON + MINUTE)).then_nothing()
    active(NOTICE).when(replace(NOTIFY, notice_id="n2")).then(replace(NOTICE, notice_id="n2"))
    active(DISABLED).when(NOTIFY).then_nothing()


def test_what_is_remembered_of_conclusions_has_a_bound() -> None:
    notices = [replace(NOTICE, notice_id=f"n{n}") for n in range(MAX_CONCLUDED + 1)]
    flags = [replace(FLAGGED, session_id=f"s{n}") for n in range(MAX_CONCLUDED + 1)]
    risk = active(*notices, *flags).state.risk
    assert risk.noticed == tuple(notice.notice_id for notice in notices[1:])
    assert risk.flagged == tuple(flag.session_id for flag in flags[1:])


@pytest.mark.parametrize("command", [FLAG, STEP_UP, NOTIFY])
def test_nothing_is_at_risk_in_an_account_that_is_closed_or_was_never_proven(command: object) -> None:
    active(started(), CLOSED).when(command).then_nothing()
    given(AGGREGATE).when(command).then_refused(UnknownAccount)
    given(AGGREGATE, REGISTERED).when(command).then_refused(UnknownAccount)
