"""Given / when / then for aggregates: facts that happened, a command, and what it leads to."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import pytest

from domain.aggregate import AnyAggregate
from domain.refusals import Refusal
from events.fact import Event


@dataclass(frozen=True, slots=True)
class Outcome:
    aggregate: AnyAggregate
    state: Any
    command: Any

    def then(self, *expected: Event) -> None:
        assert self.aggregate.decide(self.state, self.command) == expected

    def then_nothing(self) -> None:
        self.then()

    def then_refused(self, refusal: type[Refusal]) -> None:
        with pytest.raises(refusal):
            self.aggregate.decide(self.state, self.command)


@dataclass(frozen=True, slots=True)
class Given:
    aggregate: AnyAggregate
    state: Any

    def when(self, command: Any) -> Outcome:
        return Outcome(self.aggregate, self.state, command)


def given(aggregate: AnyAggregate, *events: Event) -> Given:
    return Given(aggregate, reduce(aggregate.evolve, events, aggregate.initial))
