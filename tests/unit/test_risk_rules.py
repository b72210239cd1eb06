"""What the risk worker counts and concludes, as sequences of public events; how far it says to have come."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from faust.windows import TumblingWindow
from hypothesis import given
from hypothesis import strategies as st

from command_api.sources import source_of
from events.public import catalogue
from events.public.session import RefreshReused, SessionStarted, SignInFailed
from projectors.risk.places import Places, SkippedError
from projectors.risk.rules import (
    Conclusion,
    Limits,
    Tally,
    conclusions_of_source,
    count_of,
    is_history,
    judge,
    window_start,
)
from projectors.risk.signals import Flaw, FlawedError, Signal, Told, read_signal
from tests.support.examples import MINUTE, NOON

HOUR = timedelta(hours=1)
LIMITS = Limits(window=HOUR, failures=3, reuses=2, arrivals=3, accounts_of_source=2)
FAILED = SignInFailed(account_id="a", cause="wrong-password", source="net")
STARTED = SessionStarted(
    account_id="a",
    session_id="s",
    client_id="c",
    scope="openid",
    amr=("pwd",),
    acr="aal1",
    idle_expires_at=NOON,
    expires_at=NOON,
    unfamiliar=("device",),
)
REUSED = RefreshReused(account_id="a", session_id="s")
KEY = b"k" * 32


@dataclass(slots=True)
class Worker:
    """The counting without Faust: one table, and every conclusion is given."""

    tallies: dict[object, Tally] = field(default_factory=dict)
    given: list[Conclusion] = field(default_factory=list)

    def read(self, *signals: Signal) -> "Worker":
        for signal in signals:
            count = count_of(signal)
            if count is not None:
                window = (count.rule, count.subject, window_start(signal.at, LIMITS.window))
                before = self.tallies.get(window, Tally())
                self.tallies[window], found = judge(signal, count, before, LIMITS)
                self.given += found
        return self

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one.command, one.reason) for one in self.given]


def signals(
    event: SignInFailed | SessionStarted | RefreshReused, count: int, start: datetime = NOON
) -> list[Signal]:
    return [
        Signal(event=event, at=start + n * MINUTE, position=f"0:{n}:{start.isoformat()}")
        for n in range(count)
    ]


def test_an_owner_is_told_of_failures_once_in_a_window() -> None:
    assert Worker().read(*signals(FAILED, 2)).told == []
    assert Worker().read(*signals(FAILED, 9)).told == [("notice", "sign-in-failures")]


def test_another_window_and_another_account_begin_anew() -> None:
    late = signals(FAILED, 2, NOON + HOUR)
    assert Worker().read(*signals(FAILED, 2), *late).told == []
    other = signals(replace(FAILED, account_id="b"), 2)
    assert Worker().read(*signals(FAILED, 2), *other).told == []


def test_the_same_event_counts_once_however_often_it_is_read() -> None:
    two = signals(FAILED, 2)
    assert Worker().read(*two * 5).told == []
    assert Worker().read(*signals(FAILED, 9) * 2).told == [("notice", "sign-in-failures")]


@pytest.mark.parametrize("cause", ["not-verified", "not-the-address", "account-disabled", "account-closed"])
def test_what_is_no_guess_does_not_count(cause: str) -> None:
    assert Worker().read(*signals(replace(FAILED, cause=cause), 9)).told == []


def test_a_locked_account_is_still_guessed_at() -> None:
    locked = replace(FAILED, cause="locked")
    assert Worker().read(*signals(locked, 3)).told == [("notice", "sign-in-failures")]


def test_a_burst_of_reused_refresh_tokens_flags_the_session_and_suspects_every_other() -> None:
    worker = Worker().read(*signals(REUSED, 1))
    assert worker.told == []
    worker.read(*signals(REUSED, 5)[1:])
    reason = "refresh-reuse-burst"
    assert worker.told == [("flag", reason), ("step-up", reason), ("notice", reason)]
    assert [one.session_id for one in worker.given] == ["s", None, None]


def test_an_owner_is_told_of_each_unfamiliar_sign_in_and_many_are_suspect() -> None:
    arrivals = [
        replace(signal, event=replace(STARTED, session_id=f"s{n}"))
        for n, signal in enumerate(signals(STARTED, 5))
    ]
    worker = Worker().read(*arrivals)
    each, burst = ("notice", "unfamiliar-sign-in"), "unfamiliar-burst"
    assert worker.told == [each, each, each, ("step-up", burst), ("notice", burst)]
    assert len({one.key for one in worker.given}) == 4
    assert Worker().read(*arrivals[:1] * 3).told == [each]


def test_a_familiar_sign_in_is_nothing() -> None:
    assert Worker().read(*signals(replace(STARTED, unfamiliar=()), 9)).told == []


def test_a_source_that_failed_for_many_accounts_starts_suspect_sessions() -> None:
    few, many = Tally(marks=("a",)), Tally(marks=("a", "b"))
    assert conclusions_of_source("a", "s", 7.0, few, LIMITS) == ()
    found = conclusions_of_source("a", "s", 7.0, many, LIMITS)
    assert [(one.command, one.session_id) for one in found] == [
        ("flag", "s"),
        ("step-up", "s"),
        ("notice", None),
    ]
    assert {one.reason for one in found} == {"guessing-source"}


@given(
    st.lists(
        st.tuples(st.sampled_from([FAILED, REUSED, STARTED]), st.sampled_from("ab"), st.integers(0, 150)),
        max_size=40,
    ),
    st.data(),
)
def test_reading_again_from_anywhere_concludes_nothing_new(
    events: list[tuple[SignInFailed | RefreshReused | SessionStarted, str, int]], data: st.DataObject
) -> None:
    """Whatever was read before a worker was killed: its keys are those of one that was never killed."""
    read = [
        Signal(event=replace(event, account_id=account), at=NOON + minute * MINUTE, position=f"p{n}")
        for n, (event, account, minute) in enumerate(events)
    ]
    killed_at = data.draw(st.integers(0, len(read)))
    again_from = data.draw(st.integers(0, killed_at))
    whole = Worker().read(*read)
    restarted = Worker().read(*read[:killed_at])
    restarted.read(*read[again_from:])
    assert keys(restarted.given) == keys(whole.given)


def keys(given_: Iterable[Conclusion]) -> set[tuple[str, str]]:
    return {(one.command, one.key) for one in given_}


def test_what_is_more_than_a_day_ago_is_history() -> None:
    assert not is_history(NOON - 24 * HOUR, NOON)
    assert is_history(NOON - 24 * HOUR - MINUTE, NOON)
    assert not is_history(NOON + MINUTE, NOON)


def test_a_tally_holds_no_more_than_matters_and_survives_its_table() -> None:
    tally = Tally()
    for n in range(99):
        tally = tally.with_mark(f"{n}", 3)
    assert tally.marks == ("0", "1", "2")
    assert Tally.of(tally.stored()) == tally
    assert Tally.of({}) == Tally()


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # bounds without a zone, as hypothesis wants them
def test_a_window_begins_where_that_of_the_table_does(at: datetime) -> None:
    begin, _ = TumblingWindow(HOUR).current(at.timestamp())
    assert window_start(at, HOUR).timestamp() == pytest.approx(begin)


TOLD = Told(
    partition=0,
    key=b"a",
    value=catalogue.encode(FAILED),
    headers={
        "ce_type": b"chancery.sign_in.failed.v1",
        "ce_time": b"2026-01-31T12:00:00.000000Z",
        "ce_id": b"0:1:0",
    },
)


def told(value: bytes | None = TOLD.value, **headers: bytes) -> Told:
    """Like the other one, but for this."""
    return replace(TOLD, value=value, headers={**TOLD.headers, **headers})


def test_a_signal_is_read_from_the_public_feed_and_what_means_nothing_passes() -> None:
    assert read_signal(TOLD) == Signal(event=FAILED, at=NOON, position="0:1:0")
    assert read_signal(told(ce_type=b"chancery.session.revoked.v1")) is None
    older = read_signal(told(b'{"account_id": "a", "cause": "locked"}'))
    assert older is not None
    assert older.event == SignInFailed(account_id="a", cause="locked", source="")


@pytest.mark.parametrize(
    ("record", "flaw"),
    [
        (replace(TOLD, headers={}), "foreign"),
        (told(ce_type=b""), "foreign"),
        (told(ce_type=b"\xff"), "unknown-type"),
        (told(ce_type=b"chancery.sign_in.failed.v2"), "unknown-type"),
        (told(b"{"), "unreadable"),
        (told(b"{}"), "unreadable"),
        (told(None), "unreadable"),
        (told(b'{"account_id":"\\ud800","cause":"locked"}'), "unreadable"),
        (told(b'{"account_id":"a","cause":"locked","source":"' + b"s" * 201 + b'"}'), "unreadable"),
        (told(ce_time=b"2026-01-31T12:00:00"), "unreadable"),
        (told(ce_time=b"\xff"), "unreadable"),
        (told(ce_id=b"log/0:1:0"), "unreadable"),
        (told(ce_id=b"1:1:0"), "misplaced"),
        (replace(TOLD, key=b"b"), "misplaced"),
        (replace(TOLD, key=None), "misplaced"),
    ],
)
def test_a_record_that_cannot_be_counted_says_why(record: Told, flaw: Flaw) -> None:
    with pytest.raises(FlawedError) as found:
        read_signal(record)
    assert (found.value.flaw, str(found.value)) == (flaw, flaw)


def test_a_place_moves_from_one_event_to_the_next_and_never_past_one() -> None:
    places: Places[str] = Places()
    places.handled("p", 5)
    places.handled("p", 6)
    places.handled("q", 1)
    assert places.to_commit() == {"p": 7, "q": 2}
    with pytest.raises(SkippedError):
        places.handled("p", 8)
    assert places.to_commit() == {"p": 7, "q": 2}
    places.handled("p", 5)
    assert places.known() == {"p": 7, "q": 2}


def test_what_was_committed_is_not_committed_again_and_what_is_dealt_out_anew_is_forgotten() -> None:
    places: Places[str] = Places()
    places.handled("p", 5)
    places.committed(places.to_commit())
    assert places.to_commit() == {}
    places.handled("p", 6)
    assert places.to_commit() == {"p": 7}
    places.forget()
    assert places.to_commit() == {}
    places.committed({"p": 7})
    places.handled("p", 20)
    assert places.to_commit() == {"p": 21}


def test_a_source_is_the_same_all_day_for_one_network_and_says_nothing_else() -> None:
    source = source_of(KEY, "8.8.8.8", NOON)
    assert source is not None
    assert len(source) == 16
    assert source_of(KEY, "8.8.8.200", NOON + 11 * HOUR) == source
    others = (
        source_of(KEY, "8.8.9.8", NOON),
        source_of(KEY, "8.8.8.8", NOON + 12 * HOUR),
        source_of(b"o" * 32, "8.8.8.8", NOON),
    )
    assert len({source, *others}) == 4


@pytest.mark.parametrize("ip", [None, "", "127.0.0.1", "10.0.0.1", "::1", "fd00::1"])
def test_a_private_address_is_no_source_because_it_is_that_of_a_proxy(ip: str | None) -> None:
    assert source_of(KEY, ip, NOON) is None
