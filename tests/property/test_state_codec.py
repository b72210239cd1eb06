"""Saved states: what comes back is what was saved, and the public form is what a fold without the data key gives."""

from dataclasses import replace
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.aggregates import AGGREGATES
from events.account import AccountRegistered
from events.client import ClientRegistered
from events.fact import Event
from events.signing_keys import SigningKeyCreated
from eventstore.state_codec import decode_state, encode_state, without_personal
from tests.support.arbitrary import facts, values

FIRST = {"account": AccountRegistered, "client": ClientRegistered, "signing-keys": SigningKeyCreated}


def erased(fact: Event) -> Any:
    return replace(fact, **dict.fromkeys(fact.personal_fields))  # type: ignore[type-var]  # every fact is a dataclass


@pytest.mark.parametrize("category", AGGREGATES)
def test_a_state_comes_back_and_its_public_form_is_the_fold_of_erased_facts(category: str) -> None:
    aggregate = AGGREGATES[category]
    first = st.just(()) if category not in FIRST else st.tuples(values(FIRST[category]))

    @settings(max_examples=300, deadline=None)
    @given(first=first, history=st.lists(facts(), max_size=20))
    def holds(first: tuple[Event, ...], history: list[Event]) -> None:
        events = [*first, *history]
        state = reduce(aggregate.evolve, events, aggregate.initial)
        public = without_personal(state)
        assert decode_state(aggregate, encode_state(state)) == state
        assert decode_state(aggregate, encode_state(public)) == public
        assert public == reduce(aggregate.evolve, map(erased, events), aggregate.initial)

    holds()


def test_what_is_no_state_of_the_aggregate_is_refused() -> None:
    for raw in (b'{"type":"Unheard","state":{}}', b'{"type":"Active","state":{}}', b"{"):
        with pytest.raises((KeyError, msgspec.MsgspecError)):
            decode_state(AGGREGATES["account"], raw)
