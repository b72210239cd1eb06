"""What remains to be done for e-mail changes in other partitions: one list for each partition.

Law: whoever makes a claim that may have to be given back, or drops one that must be, opens an errand in the
same commit. So nothing is forgotten by a crash: whoever reads the lists knows everything that is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from domain.aggregate import Aggregate
from events.errand import ErrandClosed, ErrandOpened, Task
from events.fact import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """`claim_id` is the claim that it is about; to end a hold, the change that left the address."""

    task: Task
    account_id: str
    identifier: str
    claim_id: str
    due_at: datetime

    @property
    def errand_id(self) -> str:
        return f"{self.task}:{self.claim_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenErrand:
    errand: Errand


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseErrand:
    """The errand as it was when it was done: one that was opened anew since then stays open."""

    errand: Errand


Command = OpenErrand | CloseErrand


@dataclass(frozen=True, slots=True, kw_only=True)
class Errands:
    """Those that are open, by id, in the order in which they were opened."""

    open: Mapping[str, Errand] = field(default_factory=dict)


INITIAL = Errands()


def decide(state: Errands, command: Command) -> tuple[Event, ...]:
    match command:
        case OpenErrand(errand=errand):
            return () if state.open.get(errand.errand_id) == errand else (_opened(errand),)
        case CloseErrand(errand=errand):
            is_open = state.open.get(errand.errand_id) == errand
            return (ErrandClosed(errand_id=errand.errand_id),) if is_open else ()
        case _:
            assert_never(command)


def evolve(state: Errands, event: Event) -> Errands:
    match event:
        case ErrandOpened():
            errand = Errand(
                task=event.task,
                account_id=event.account_id,
                identifier=event.identifier,
                claim_id=event.claim_id,
                due_at=event.due_at,
            )
            return Errands(open={**state.open, event.errand_id: errand})
        case ErrandClosed():
            kept = {key: errand for key, errand in state.open.items() if key != event.errand_id}
            return Errands(open=kept)
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def due(state: Errands, at: datetime) -> tuple[Errand, ...]:
    return tuple(errand for errand in state.open.values() if errand.due_at <= at)


def _opened(errand: Errand) -> ErrandOpened:
    return ErrandOpened(
        errand_id=errand.errand_id,
        task=errand.task,
        account_id=errand.account_id,
        identifier=errand.identifier,
        claim_id=errand.claim_id,
        due_at=errand.due_at,
    )
