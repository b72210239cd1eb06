"""Finds one order of operations that a model allows and that respects who came before whom, or says there is none.

Wing and Gong's search (1993) with Lowe's memory of (what is ordered, state), depth first and without recursion,
one independent part of the history at a time (Herlihy and Wing's locality). An operation whose return is not
known may take effect at any time after its call, or never.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

S = TypeVar("S", bound=Hashable)

MOST_CONFIGURATIONS = 2_000_000
FOREVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one client asked and was told, and when. `returned` is None where it never learned the outcome."""

    client: Hashable
    asked: Any
    answer: Any
    invoked: float
    returned: float | None

    @property
    def end(self) -> float:
        return FOREVER if self.returned is None else self.returned


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Generic[S]):
    """`step` gives every state that may follow if the operation takes effect: none if its answer contradicts.

    `part_of` names the independent part that an operation belongs to.
    """

    initial: S
    step: Callable[[S, Operation], Iterable[S]]
    part_of: Callable[[Operation], Hashable] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`part` is the first part without an order, `explained` the most of its operations that can be ordered."""

    is_linearizable: bool
    part: Hashable = None
    operations: tuple[Operation, ...] = ()
    explained: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        if self.is_linearizable:
            return "linearizable"
        lines = [f"{'   ' if one in self.explained else '!! '}{one}" for one in self.operations]
        return f"part {self.part!r} has no order; at most this much of it has:\n" + "\n".join(lines)


class UndecidedError(Exception):
    """The search was given up: too many operations at once, or too many without an outcome."""


def check(model: Model[S], history: Iterable[Operation], *, most: int = MOST_CONFIGURATIONS) -> Verdict:
    """UndecidedError after `most` configurations of one part."""
    parts: dict[Hashable, list[Operation]] = {}
    for operation in history:
        parts.setdefault(model.part_of(operation), []).append(operation)
    for part, operations in parts.items():
        ordered = sorted(operations, key=lambda one: (one.invoked, one.end))
        deepest = _search(model, ordered, most)
        if deepest is not None:
            explained = tuple(one for place, one in enumerate(ordered) if deepest >> place & 1)
            return Verdict(is_linearizable=False, part=part, operations=tuple(ordered), explained=explained)
    return Verdict(is_linearizable=True)


def _search(model: Model[S], operations: Sequence[Operation], most: int) -> int | None:
    """None if there is an order, else the largest set of operations (as bits) that has one."""
    must = sum(1 << place for place, one in enumerate(operations) if one.returned is not None)
    if not must:
        return None
    deepest, start = 0, (0, model.initial)
    seen: set[tuple[int, S]] = {start}
    path = [_moves(model, operations, *start)]
    while path:
        move = next(path[-1], None)
        if move is None:
            path.pop()
            continue
        if move in seen:
            continue
        done, state = move
        if done & must == must:
            return None
        if len(seen) >= most:
            raise UndecidedError(f"{len(seen)} configurations of {len(operations)} operations")
        seen.add(move)
        if (done & must).bit_count() > (deepest & must).bit_count():
            deepest = done
        path.append(_moves(model, operations, done, state))
    return deepest


def _moves(model: Model[S], operations: Sequence[Operation], done: int, state: S) -> Iterator[tuple[int, S]]:
    """Where one more operation leads: any that was called before the first of the others returned."""
    doubtful = []
    for place in _candidates(operations, done):
        if operations[place].returned is None:
            doubtful.append(place)
            continue
        for after in model.step(state, operations[place]):
            yield done | 1 << place, after
    for place in doubtful:
        for after in model.step(state, operations[place]):
            if after != state:
                yield done | 1 << place, after


def _candidates(operations: Sequence[Operation], done: int) -> list[int]:
    first_end, found = FOREVER, []
    rest = ~done & ((1 << len(operations)) - 1)
    while rest:
        place = (rest & -rest).bit_length() - 1
        if operations[place].invoked > first_end:
            break
        found.append(place)
        first_end = min(first_end, operations[place].end)
        rest &= rest - 1
    return found
