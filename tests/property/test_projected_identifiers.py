"""`identifiers` against the log's own rules: whatever was commanded, the row says what the decision state says."""

from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain import identifier
from domain.refusals import Refusal
from events.fact import Event
from projectors.identifiers import Identifiers, evolve
from projectors.projector import fold_rows
from readmodels.identifiers import Identifier
from tests.support.arbitrary import SMALL, facts, values
from tests.support.examples import MINUTE, NOON, recorded

NAME = "an-hmac"
Told = tuple[str | None, tuple[str, ...], tuple[str, ...]]


class Both:
    """The decision state of an address, its row, and since when the rows' model would say that it is held."""

    def __init__(self) -> None:
        self.state = identifier.INITIAL
        self.row: Identifier | None = None
        self.held_since: datetime | None = None
        self._facts = 0

    def happen(self, event: Event) -> None:
        self._facts += 1
        fact = structs.replace(recorded(event, f"identifier-{NAME}"), at=NOON + self._facts * MINUTE)
        before = self.state.holder
        self.state = identifier.evolve(self.state, event)
        if self.state.holder != before:
            self.held_since = None if self.state.holder is None else fact.at
        if type(event) in Identifiers.handles:
            stored = {} if self.row is None else {NAME: self.row}
            changed, gone = fold_rows(stored, [(NAME, fact)], evolve)
            self.row = None if gone else next(iter(changed), self.row)

    def require_same(self) -> None:
        waiting = tuple(one.account_id for one in self.state.waiting)
        expected: Told = (self.state.holder, self.state.claims, waiting)
        found: Told = (None, (), ())
        if self.row is not None:
            found = (self.row.holder, self.row.claims, self.row.waiting)
            assert (self.row.identifier, self.row.held_since) == (NAME, self.held_since)
        assert found == expected
        assert (self.row is None) == (self.state == identifier.INITIAL)


@settings(max_examples=300)
@given(commands=st.lists(values(identifier.Command, {**SMALL, int: st.integers(1, 4)}), max_size=25))
def test_an_identifiers_row_says_what_its_decision_state_says(commands: list[Any]) -> None:
    both = Both()
    for command in commands:
        try:
            decided = identifier.decide(both.state, command)
        except Refusal:
            continue
        for event in decided:
            both.happen(event)
            both.require_same()


@settings(max_examples=300)
@given(events=st.lists(facts(), max_size=30))
def test_it_does_so_for_facts_that_no_decision_would_make(events: list[Event]) -> None:
    both = Both()
    for event in events:
        both.happen(event)
        both.require_same()
