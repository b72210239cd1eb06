"""The allow-list: every fact is published or kept private on purpose, and nothing personal is ever published."""

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import account, client, codec, email_change, signing_keys
from events.codec import CATALOGUE, WireEvent
from events.fact import Event
from events.public import catalogue
from events.public.catalogue import PUBLIC_EVENTS, data_schema
from events.public.mapping import PRIVATE, PUBLISHED, to_public
from tests.support.arbitrary import facts
from tests.unit.test_events import example

STREAM = "account-aaid"
FORBIDDEN_FIELDS = {
    "email", "previous_email", "display_name", "name", "ip", "user_agent", "identifier", "password_hash",
    "secret_digest", "challenge_id", "code_expires_at", "private_pem", "public_jwk", "fingerprint", "answer",
}  # fmt: skip


def test_every_fact_is_published_or_private_and_none_is_both() -> None:
    assert set(PUBLISHED) | set(PRIVATE) == set(CATALOGUE.values())
    assert not set(PUBLISHED) & set(PRIVATE)
    assert all(PRIVATE.values())


def test_every_public_event_is_what_some_fact_becomes() -> None:
    made = {type(to_public(STREAM, example(cls))) for cls in PUBLISHED}
    assert made == set(PUBLIC_EVENTS.values())
    assert len(PUBLISHED) == len(PUBLIC_EVENTS)


@pytest.mark.parametrize("cls", PRIVATE, ids=lambda cls: str(cls.type))
def test_what_is_private_is_not_published(cls: type[Event]) -> None:
    assert to_public(STREAM, example(cls)) is None


@pytest.mark.parametrize("name", PUBLIC_EVENTS)
def test_no_field_of_a_public_event_is_one_that_must_not_be(name: str) -> None:
    assert not FORBIDDEN_FIELDS & {field.name for field in fields(PUBLIC_EVENTS[name])}  # type: ignore[arg-type]  # every public event is a dataclass


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: str(cls.type))
def test_no_value_that_must_not_be_published_is_in_the_data(cls: type[Event]) -> None:
    event = to_public(STREAM, example(cls))
    assert event is not None
    data = catalogue.encode(event).decode()
    assert not [name for name in FORBIDDEN_FIELDS if f"an example of {name}" in data]


@given(facts(), st.text(min_size=12))
def test_nothing_sealed_reaches_the_feed(fact: Event, secret: str) -> None:
    """Whatever personal fields hold, the event is the same, so no reader of it can learn of them."""
    full = replace(fact, **dict.fromkeys(fact.personal_fields, secret))  # type: ignore[type-var]  # every fact is a dataclass
    erased = replace(fact, **dict.fromkeys(fact.personal_fields))  # type: ignore[type-var]  # as above
    assert to_public(STREAM, full) == to_public(STREAM, erased)


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: str(cls.type))
def test_a_fact_of_an_erased_account_is_published_all_the_same(cls: type[Event]) -> None:
    wire = codec.encode(example(cls))
    erased = codec.decode(WireEvent(type=wire.type, rev=wire.rev, data=wire.data, personal=None))
    assert to_public(STREAM, erased) == to_public(STREAM, example(cls))


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: str(cls.type))
def test_data_is_what_its_type_says_and_names_its_subject(cls: type[Event]) -> None:
    event = to_public(STREAM, example(cls))
    assert event is not None
    data = catalogue.encode(event)
    assert msgspec.json.decode(data, type=type(event)) == event
    about_key = issubclass(
        cls, signing_keys.SigningKeyCreated | signing_keys.SigningKeyRotated | signing_keys.SigningKeyRetired
    )
    assert event.subject == ("an example of kid" if about_key else "aaid")
    assert event.subject.encode() in data


def test_a_started_session_says_how_and_for_how_long() -> None:
    fact = example(account.SessionStarted)
    assert isinstance(fact, account.SessionStarted)
    event = to_public(STREAM, fact)
    assert event is not None
    assert msgspec.json.decode(catalogue.encode(event)) == {
        "account_id": "aaid",
        "session_id": fact.session_id,
        "client_id": fact.client_id,
        "scope": fact.scope,
        "amr": list(fact.amr),
        "acr": fact.acr,
        "idle_expires_at": "2026-01-31T12:00:00.123456Z",
        "expires_at": "2026-01-31T12:00:00.123456Z",
        "source": fact.source,
        "unfamiliar": ["network"],
    }


@pytest.mark.parametrize(
    ("fact", "field"),
    [
        (account.AccountRegistered, "policy"),
        (account.RegistrationDiscarded, "cause"),
        (account.SignInFailed, "cause"),
        (account.SessionRevoked, "cause"),
    ],
)
def test_every_value_that_a_fact_may_have_is_told_as_known(fact: type[Event], field: str) -> None:
    event = to_public(STREAM, example(fact))
    assert event is not None
    known = data_schema(type(event))["properties"][field]["examples"]
    possible: Any = get_type_hints(fact)[field]
    assert set(known) == set(get_args(possible))


def test_types_are_named_as_the_api_says() -> None:
    named = {
        account.AccountRegistered: "chancery.account.registered.v1",
        account.SessionStarted: "chancery.session.started.v1",
        account.SessionRevoked: "chancery.session.revoked.v1",
        account.SignInFailed: "chancery.sign_in.failed.v1",
        email_change.EmailChangeUndone: "chancery.email.restored.v1",
        client.ClientTokenRevoked: "chancery.client.token_revoked.v1",
    }
    for fact, name in named.items():
        event = to_public(STREAM, example(fact))
        assert event is not None
        assert event.type == name
