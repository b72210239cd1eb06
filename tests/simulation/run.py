"""One schedule from its seed to its verdict."""

import contextlib
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import structlog

from eventstore import partition
from tests.simulation.bugs import Bug, sown
from tests.simulation.entropy import seeded_entropy
from tests.simulation.judge import Judge
from tests.simulation.loop import SimulatedLoop, StuckError, new_loop
from tests.simulation.schedule import Schedule
from tests.simulation.template import PARTITIONS, template
from tests.simulation.world import World

MAX_STEPS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`failures` is empty if all is well; `digest` is the same for every run of the seed in every process."""

    seed: int
    failures: Sequence[str]
    digest: str
    steps: int
    world: World | None = None

    def without_world(self) -> Self:
        return replace(self, world=None)


def run_schedule(seed: int, bug: Bug | None = None) -> Verdict:
    before = [template(partitions) for partitions in PARTITIONS]
    assert before, "made before anything is drawn from the seed"
    with seeded_entropy(f"{seed}"):
        schedule = Schedule.of(seed)
        loop = new_loop(random.Random(f"{seed}/loop"), schedule.pace, max_steps=MAX_STEPS)
        with _surroundings(schedule), sown(bug):
            world = World(schedule, loop)
            failures = _failures(world, loop)
    loop.close()
    tries = [str(attempt) for attempt in world.history.in_order()]
    told = "\n".join([*tries, *failures]).encode()
    digest = hashlib.sha256(bytes(loop.choices) + told).hexdigest()[:16]
    return Verdict(seed=seed, failures=failures, digest=digest, steps=loop.steps, world=world)


def _failures(world: World, loop: SimulatedLoop) -> list[str]:
    try:
        loop.run(world.people, world.live())
        judge = Judge(world)
        loop.run(world.people, judge.judge())
    except StuckError as error:
        return [f"stuck: {error}", *world.history.outrages, *loop.complaints]
    return judge.found


@contextlib.contextmanager
def _surroundings(schedule: Schedule) -> Iterator[None]:
    """Modules under test as this schedule wants them: few records are many, and nobody prints."""
    read_ahead = partition.READ_AHEAD
    partition.READ_AHEAD = schedule.read_ahead
    try:
        with structlog.testing.capture_logs():
            yield
    finally:
        partition.READ_AHEAD = read_ahead
