"""What the audit shows of each fact: decided for every fact and field, and never what is secret or personal."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec import structs

from events.account import SessionStarted, SignInFailed
from events.client import ClientRegistered
from events.codec import CATALOGUE
from events.fact import Event
from events.identifier import IdentifierClaimed
from events.streams import SIGNING_KEYS
from eventstore.commit import Actor
from projectors.audit import Month, audit_row
from projectors.audit_facts import NOT_SHOWN, SHOWN
from tests.support.examples import NOON, REGISTERED, recorded, started
from tests.unit.test_events import example

ORIGIN = {"ip", "user_agent"}
WITHHELD = {
    "account_id": "a column of its own",
    "client_id": "as above, except in `session.started`, where it is the session's",
    "identifier": "a keyed hash of an address",
    "challenge_id": "what a mailed code is derived from",
    "notice_id": "names a mail",
    "secret_digest": "a hash of a secret",
    "public_jwk": "published elsewhere",
    "source": "a keyed hash of a network",
    "is_short": "would tell something of the password",
    "step": "follows from the time",
    "sign_count": "of no use to people",
    "enrolment_id": "names a secret",
    "set_id": "what recovery codes are derived from",
    "challenge_expires_at": "bookkeeping of challenges",
    **dict.fromkeys(
        ("registered_at", "failed_at", "requested_at", "disabled_at", "enabled_at", "unlocked_at", "closed_at",
         "bounced_at", "flagged_at", "required_at", "added_at", "deleted_at", "created_at", "rotated_at", "started_at", "challenged_at", "enrolled_at", "removed_at", "issued_at", "accepted_at"),
        "the entry's own time",
    ),
}  # fmt: skip


def test_every_fact_is_shown_or_there_is_a_reason_why_not() -> None:
    assert set(SHOWN) | set(NOT_SHOWN) == set(CATALOGUE.values())
    assert not set(SHOWN) & set(NOT_SHOWN)
    assert all(NOT_SHOWN.values())


@pytest.mark.parametrize("cls", SHOWN, ids=lambda cls: str(cls.type))
def test_every_field_is_shown_or_withheld_and_no_personal_one_is_a_detail(cls: type[Event]) -> None:
    shown = set(SHOWN[cls])
    assert not shown & set(cls.personal_fields)
    public = {field.name for field in fields(cls)} - set(cls.personal_fields)  # type: ignore[arg-type]  # every fact is a dataclass
    assert shown <= public
    assert public - shown <= set(WITHHELD)
    assert not shown & (set(WITHHELD) - {"client_id"})


@pytest.mark.parametrize("cls", SHOWN, ids=lambda cls: str(cls.type))
def test_a_row_tells_nothing_personal_but_where_a_request_came_from(cls: type[Event]) -> None:
    row = audit_row(recorded(example(cls)))
    assert set(row.details) == set(SHOWN[cls])
    secrets = {f"an example of {name}" for name in (*cls.personal_fields, *WITHHELD) if name not in ORIGIN}
    secrets -= {f"an example of {name}" for name in SHOWN[cls]}
    assert not [value for value in secrets if value in str(row.details)]
    told = {name for name in ORIGIN if getattr(row, name) is not None}
    assert told == ORIGIN & set(cls.personal_fields)


def test_a_row_says_whom_it_is_about() -> None:
    client = example(ClientRegistered)
    about = [
        audit_row(recorded(REGISTERED, "account-ada")),
        audit_row(recorded(IdentifierClaimed(account_id="ada"), "identifier-x")),
        audit_row(recorded(client, "client-c1")),
        audit_row(recorded(client, SIGNING_KEYS)),
    ]
    assert [(row.account_id, row.client_id) for row in about] == [
        ("ada", None),
        ("ada", None),
        (None, "c1"),
        (None, None),
    ]


def test_a_row_says_who_asked_and_in_which_request() -> None:
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    fact = structs.replace(recorded(started()), actor=Actor(kind="account", id="acc"), trace=trace, number=2)
    row = audit_row(fact)
    assert (row.actor_kind, row.actor_id, row.trace_id, row.number) == ("account", "acc", "ab" * 16, 2)
    assert [audit_row(structs.replace(fact, trace=odd)).trace_id for odd in ("", "x", "a-b-c-d-e")] == [
        None
    ] * 3


def test_an_erased_origin_is_absent() -> None:
    failed = SignInFailed(cause="wrong-password", failed_at=NOON)
    row = audit_row(recorded(failed))
    assert (row.details, row.ip, row.user_agent) == ({"cause": "wrong-password"}, None, None)


def test_text_that_postgresql_cannot_store_halts_nobody() -> None:
    odd: SessionStarted = replace(started(), user_agent="a\x00b", amr=("p\x00",), scope="x\x00")
    row = audit_row(recorded(odd))
    assert (row.user_agent, row.details["amr"], row.details["scope"]) == ("a\ufffdb", ["p\ufffd"], "x\ufffd")


def test_a_month_is_one_of_utc() -> None:
    east = timezone(timedelta(hours=5))
    last = Month.of("audit_v1", datetime(2027, 1, 1, 4, 59, tzinfo=east))
    assert last == Month(
        name="audit_v1_2026_12",
        first=datetime(2026, 12, 1, tzinfo=UTC),
        next=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert Month.of("audit_v1", datetime(2027, 1, 1, 5, tzinfo=east)).first == last.next
