"""What every aggregate offers to the store: where it begins, how it decides, how facts change it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from events.fact import Event

S = TypeVar("S")
C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Generic[S, C]):
    """`evolve` never raises and never decides; `decide` raises only refusals."""

    initial: S
    decide: Callable[[S, C], tuple[Event, ...]]
    evolve: Callable[[S, Event], S]


AnyAggregate = Aggregate[Any, Any]
