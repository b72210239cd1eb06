"""Everything that a seed decides before a run begins: how many of what, how bad, and who asks for what."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from eventstore.writer import Limits
from tests.simulation.loop import Pace
from tests.simulation.operations import (
    Change,
    Count,
    GiveBack,
    Guess,
    Hurry,
    Look,
    Operation,
    Present,
    Take,
    Undo,
    Way,
    account_of,
)
from tests.simulation.template import PARTITIONS, Inhabitant, identifier, template
from tests.simulation.weather import Weather

_SKEWS = (timedelta(0), timedelta(0), timedelta(seconds=-1), timedelta(seconds=90), timedelta(hours=12))
_WAYS: tuple[Way, ...] = ("writer", "call", "keyed call", "keyed call")
_KINDS = ("count", "count", "look", "present", "guess", "take", "give-back", "change", "undo", "hurry")
_RIVALS = (("take", "give-back"), ("present", "take"), ("change", "undo"), ("hurry", "count"))
"""Kinds whose decisions, taken again, may find that there is nothing left to do."""
_RIVALRY = 0.3
_STORM = 9
"""So many clients with few requests, instead of three with more."""
_FEW_STREAMS = 16_000
"""Memory for an account and the answers of a request to it, and for little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What happens to a replica once it has taken so many steps."""

    at_step: int
    kills: bool
    lasts_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`blows` come to one replica after the other, in turn; each client has a list of operations.

    `outage` says when the stores are out of reach, and for how long; `patience_seconds` how long clients wait,
    `loyalty` how likely they ask the first replica, `haste` how likely they ask at once.
    """

    seed: int
    partitions: int
    skews: Sequence[timedelta]
    limits: Limits
    read_ahead: int
    pace: Pace
    weather: Weather
    blows: Sequence[Blow]
    outage: tuple[float, float]
    clients: Sequence[Sequence[Operation]]
    save_seconds: float
    undo: timedelta
    forwards: bool
    patience_seconds: float
    loyalty: float
    haste: float

    @classmethod
    def of(cls, seed: int) -> Self:
        chance = random.Random(f"{seed}/schedule")
        partitions = chance.choice(PARTITIONS)
        return cls(
            seed=seed,
            partitions=partitions,
            skews=[chance.choice(_SKEWS) for _ in range(chance.choice((2, 2, 3)))],
            limits=Limits(
                deadline_seconds=chance.choice((0.3, 1.0)),
                max_open=chance.choice((3, 64)),
                max_in_flight=chance.choice((1, 2, 64)),
                cache_bytes=partitions * chance.choice((_FEW_STREAMS, _FEW_STREAMS, 1 << 20)),
            ),
            read_ahead=chance.choice((1, 4, 2000)),
            pace=Pace(
                persistence=chance.choice((0.0, 0.5, 0.9)),
                step_seconds=chance.choice((0.0, 0.00001, 0.0005)),
                slow=chance.choice((-1, -1, 2, 3)),
            ),
            weather=Weather.drawn(chance),
            blows=[_blow(chance) for _ in range(chance.choice((0, 1, 2, 3)))],
            outage=(chance.random() * 0.3, chance.choice((0.0, 0.0, 0.0, 0.2, 1.5))),
            clients=_clients(chance, partitions),
            forwards=chance.random() < 0.5,
            undo=chance.choice((timedelta(seconds=0.05), timedelta(days=7))),
            save_seconds=chance.choice((0.02, 0.1, 0.5)),
            loyalty=chance.choice((0.0, 0.0, 0.9)),
            haste=chance.choice((0.0, 0.7, 1.0)),
            patience_seconds=chance.choice((0.2, 1.5)),
        )


def _blow(chance: random.Random) -> Blow:
    return Blow(
        at_step=chance.randrange(1, 300),
        kills=chance.random() < 0.6,
        lasts_seconds=chance.choice((0.0, 0.05, 0.5, 2.0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What a schedule is about: few kinds of operations, few streams, so that clients meet."""

    kinds: Sequence[str]
    ways: Sequence[Way]
    people: Sequence[Inhabitant]
    counted: str
    wanted: str

    @classmethod
    def of(cls, chance: random.Random, partitions: int) -> Self:
        are_rivals = chance.random() < _RIVALRY
        return cls(
            kinds=chance.choice(_RIVALS) if are_rivals else chance.sample(_KINDS, chance.randint(1, 3)),
            ways=chance.choice((_WAYS, ("writer", "call"))) if are_rivals else _WAYS,
            people=template(partitions).people,
            counted=identifier(0),
            wanted=identifier(partitions - 1),
        )

    def operation(self, chance: random.Random, name: str) -> Operation:
        kind, way, who = chance.choice(self.kinds), chance.choice(self.ways), self.people[0]
        taker = chance.choice(("one", "other"))
        match kind:
            case "count":
                return Count(name=name, target=self.counted, way=way)
            case "hurry":
                chances = [None] * chance.choice((1, 1, 2, 4))
                return Hurry(name=name, target=self.counted, way=way, chances=chances)
            case "look":
                return Look(name=name, target=self.counted, way="call" if way == "call" else "writer")
            case "present":
                generation = chance.choice((1, 1, 1, 2))
                return Present(name=name, target=account_of(who), way=way, who=who, generation=generation)
            case "guess":
                return Guess(name=name, target=account_of(who), way=way, who=who)
            case "take":
                return Take(name=name, target=self.wanted, way=way, account_id=taker)
            case "give-back":
                return GiveBack(name=name, target=self.wanted, account_id=taker)
            case "undo":
                return Undo(name=name, target=account_of(who), way="keyed call", who=who)
            case _:
                changer = chance.choice(self.people)
                return Change(name=name, target=account_of(changer), way="keyed call", who=changer)


def _clients(chance: random.Random, partitions: int) -> list[list[Operation]]:
    scene = _Scene.of(chance, partitions)
    count, fewest, most = chance.choice(((3, 2, 4), (3, 2, 4), (_STORM, 1, 2)))
    return [
        [scene.operation(chance, f"{client}.{number}") for number in range(chance.randint(fewest, most))]
        for client in range(count)
    ]
