"""Laws of every aggregate under random facts and random commands, and of the forms that last for ever."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from command_api.email_address import EmailAddress
from domain import account_commands, client, errands, idempotency, identifier, signing_keys
from domain.account_state import Absent
from domain.aggregates import AGGREGATES
from domain.refusals import InvalidEmail, Refusal
from domain.values import normalise_password, parse_display_name, parse_password, parse_scope
from events.codec import CATALOGUE, WireEvent, decode, encode
from events.fact import Event
from tests.support.arbitrary import SMALL, facts, values

COMMANDS: dict[str, Any] = {
    "account": account_commands.Command,
    "identifier": identifier.Command,
    "errands": errands.Command,
    "client": client.Command,
    "signing-keys": signing_keys.CreateFirstKey,
    "request": idempotency.Command,
}
WIDE = {
    **SMALL,
    str: st.text(st.characters(exclude_categories=["Cs"])),
    int: st.integers(-(2**63), 2**64 - 1),
    datetime: st.datetimes(timezones=st.just(UTC)),
}


def test_the_laws_are_about_every_aggregate() -> None:
    assert set(COMMANDS) == set(AGGREGATES) - {"answer"}
    assert AGGREGATES["answer"] is AGGREGATES["request"]


@pytest.mark.parametrize("cls", CATALOGUE.values(), ids=lambda cls: str(cls.type))
def test_a_fact_is_the_same_after_its_way_through_the_log(cls: type[Event]) -> None:
    @settings(max_examples=50)
    @given(fact=values(cls, WIDE))
    def holds(fact: Event) -> None:
        stored = msgspec.json.encode(encode(fact))
        assert decode(msgspec.json.decode(stored, type=WireEvent)) == fact

    holds()


@pytest.mark.parametrize("category", COMMANDS)
def test_any_fact_in_any_state_changes_it_without_an_error_and_always_in_the_same_way(category: str) -> None:
    aggregate = AGGREGATES[category]

    @settings(max_examples=200)
    @given(history=st.lists(facts(), max_size=30))
    def holds(history: list[Event]) -> None:
        states = []
        for _ in range(2):
            state = aggregate.initial
            for fact in history:
                state = aggregate.evolve(state, fact)
            states.append(state)
        assert states[0] == states[1]

    holds()


@pytest.mark.parametrize("category", COMMANDS)
def test_any_command_in_any_state_is_decided_or_refused_and_never_fails(category: str) -> None:
    aggregate = AGGREGATES[category]

    @settings(max_examples=150)
    @given(history=st.lists(facts(), max_size=15), command=values(COMMANDS[category]))
    def holds(history: list[Event], command: Any) -> None:
        state = aggregate.initial
        for fact in history:
            state = aggregate.evolve(state, fact)
        # An account id is random and used once, which the decision itself asserts.
        assume(not isinstance(command, account_commands.Register) or isinstance(state, Absent))
        try:
            decided = aggregate.decide(state, command)
        except Refusal:
            return
        assert decided == aggregate.decide(state, command)
        for fact in decided:
            assert (fact.type, fact.rev) in CATALOGUE
            state = aggregate.evolve(state, fact)

    holds()


LOCALS = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Nl"]) | st.sampled_from("ſKﬁＡıİßẞÅΣς.+-_ⅷ＝？=?"),
    min_size=1,
    max_size=20,
)
DOMAINS = st.sampled_from(
    [
        "example.com",
        "EXAMPLE.com",
        "exämple.com",
        "ｅxample.com",
        "xn--exmple-cua.com",
        "straße.de",
        "BÜCHER.example",
    ]
) | st.text(st.characters(categories=["Ll", "Lu", "Lo"]), min_size=1, max_size=12).map(
    lambda label: f"{label}.com"
)


@settings(max_examples=200)
@given(local=LOCALS, domain=DOMAINS)
@example(local="ſam", domain="exämple.com")
@example(local="İstanbul", domain="İstanbul.com")
@example(local="ⅷ" * 21, domain="example.com")
@example(local="＝？utf-8？q？a", domain="example.com")
@example(local="ΑΣ", domain="ΑΣ.com")
def test_abuse_g1_the_canonical_form_of_an_address_is_its_own_canonical_form(local: str, domain: str) -> None:
    try:
        address = EmailAddress.parse(f"{local}@{domain}")
    except InvalidEmail:
        return
    assert address.stored == f"{local}@{domain}"
    assert EmailAddress.parse(address.canonical) == EmailAddress(
        stored=address.canonical, canonical=address.canonical
    )


@settings(max_examples=200)
@given(text=st.text() | st.text("a b\u0301é", min_size=15))
def test_what_a_parser_gave_it_gives_again_and_it_raises_nothing_but_refusals(text: str) -> None:
    for parse in (parse_password, parse_display_name, lambda scope: " ".join(parse_scope(scope))):
        try:
            parsed = parse(text)
        except Refusal:
            continue
        assert parse(parsed) == parsed
    assert normalise_password(normalise_password(text)) == normalise_password(text)
