"""What every aggregate offers to the store: where it begins, how it decides, how facts change it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from events.fact import Event

S = TypeVar("S")
C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Generic[S, C]):
    """`evolve` never raises and never decides; `decide` raises only refusals.

    `kept_for` is how long after a stream's last fact its state still matters; None means for ever. A state
    that is forgotten decides like the initial one, so forgetting sooner or later changes no decision. Its stream
    is named by the day, so that nothing is ever said in it again and its version may be forgotten as well.
    """

    initial: S
    decide: Callable[[S, C], tuple[Event, ...]]
    evolve: Callable[[S, Event], S]
    kept_for: timedelta | None = None


AnyAggregate = Aggregate[Any, Any]
