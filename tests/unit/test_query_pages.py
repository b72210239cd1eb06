"""Cursors, parameters and views of the Query API, without any store."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_api.audit_pages import admin_view, owner_view
from query_api.cursors import MOST_CHARACTERS, Cursor, parse_cursor, render_cursor
from query_api.parameters import is_id, parse_moment
from readmodels.audit import EARLIEST, LATEST, AuditEntry, AuditFilter, Place
from tests.support.examples import NOON

KEY, WALK = bytes(32), "timeline:aa"
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)  # noqa: DTZ001  # hypothesis wants naive bounds
)  # fmt: skip
CURSORS = st.builds(
    Cursor,
    after=st.builds(
        Place,
        at=MOMENTS,
        partition=st.integers(0, 1023),
        seq=st.integers(0, 2**60),
        number=st.integers(0, 99),
    ),
    horizon=st.lists(st.integers(-1, 2**60), max_size=9).map(tuple),
    wanted=st.builds(
        AuditFilter,
        account_id=st.none() | st.text(max_size=26),
        type=st.none() | st.text(max_size=9),
        since=MOMENTS,
        until=MOMENTS,
    ),
)
SIMPLE = Cursor(
    after=Place(at=NOON, partition=3, seq=17, number=1), horizon=(4, -1), wanted=AuditFilter(type="a.b")
)


@given(cursor=CURSORS)
def test_a_cursor_says_what_was_put_into_it(cursor: Cursor) -> None:
    assert parse_cursor(KEY, WALK, render_cursor(KEY, WALK, cursor)) == cursor


@given(place=st.integers(0, 10_000), character=st.sampled_from("AZaz09-_"))
def test_a_cursor_with_any_character_changed_is_none(place: int, character: str) -> None:
    text = render_cursor(KEY, WALK, SIMPLE)
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    assert (parse_cursor(KEY, WALK, changed) is None) == (changed != text)


@given(text=st.text(max_size=80))
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert parse_cursor(KEY, WALK, text) is None


def test_a_cursor_of_another_walk_or_key_is_none() -> None:
    text = render_cursor(KEY, WALK, SIMPLE)
    assert parse_cursor(KEY, "timeline:ab", text) is None
    assert parse_cursor(bytes([1] * 32), WALK, text) is None


def test_a_cursor_over_as_many_partitions_as_there_may_be_is_short_enough() -> None:
    widest = Cursor(after=SIMPLE.after, horizon=(10**12,) * 1024, wanted=AuditFilter())
    text = render_cursor(KEY, WALK, widest)
    assert len(text) <= MOST_CHARACTERS
    assert parse_cursor(KEY, WALK, text) == widest
    assert parse_cursor(KEY, WALK, "A" * (MOST_CHARACTERS + 1)) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31T17:30:00+05:30", NOON),
        ("2026-01-31T12:00:00.25Z", NOON + timedelta(milliseconds=250)),
        ("2026-01-31T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
        ("2026-01-31T12:00:00-00:00", NOON),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T00:00:00Z", LATEST),
    ],
)
def test_a_time_of_rfc_3339_is_read_in_utc(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


@given(moment=MOMENTS)
def test_every_time_that_answers_give_can_be_asked_for(moment: datetime) -> None:
    assert parse_moment(moment.isoformat(timespec="microseconds").replace("+00:00", "Z")) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:01Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00+25:00",
        "2026-01-31T12:00:00.Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "20260131T120000Z",
    ],
)
def test_what_is_no_time_of_rfc_3339_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|calendar") as refused:
        parse_moment(text)
    assert not text or text not in str(refused.value)


def test_only_ids_have_the_form_of_ids() -> None:
    assert is_id("a" * 26)
    assert not any(is_id(text) for text in ("", "a" * 25, "a" * 27, "A" * 26, "a" * 26 + "\n", "1" * 26))


def entry(kind: str) -> AuditEntry:
    return AuditEntry(
        place=Place(at=NOON, partition=3, seq=17, number=1),
        type=kind,
        account_id="acc",
        client_id=None,
        actor_kind="anonymous",
        actor_id="",
        trace_id=None,
        details={"cause": "taken"},
        ip="127.0.0.1",
        user_agent="test",
    )


def test_an_entry_is_shown_with_its_place_and_actor() -> None:
    shown = admin_view(entry("sign_in.failed"))
    assert (shown["at"], shown["position"], shown["number"]) == ("2026-01-31T12:00:00.000000Z", "3:17", 1)
    assert shown["actor"] == {"kind": "anonymous", "id": None}
    assert owner_view(entry("sign_in.failed")) == shown


def test_an_owner_cannot_tell_an_ignored_change_of_address_from_any_other() -> None:
    assert owner_view(entry("email_change.ignored")) == owner_view(entry("email_change.requested"))
    assert owner_view(entry("email_change.ignored"))["details"] == {}
