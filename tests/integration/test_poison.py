"""Every kind of poison before every consumer: it halts its partition, says where, repeats nothing, and no other stops.

All kinds lie in one log, each in a partition of its own, in the middle of sign-ups.
"""

import asyncio
import contextlib

import pytest
import redis
from msgspec.structs import replace

from eventstore.errors import CorruptLogError
from localstack.stack import StackInfo
from projectors.follower import Batch
from projectors.keep_going import Course
from projectors.runner import Runner
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.poisoned import CONSUMERS, Stores, Watched, faults, tables
from tests.support.poisons import POISONS, Scene
from tests.support.tasks import eventually

SETTLE_SECONDS = 20.0
QUIET_SECONDS = 2.5
"""Longer than the longest pause between two tries."""


@pytest.fixture
def stores(
    projector_stack: StackInfo, postgres: Postgres, valkey: Valkey, valkey_admin: "redis.Redis"
) -> Stores:
    return Stores(stack=projector_stack, postgres=postgres, valkey=valkey, valkey_admin=valkey_admin)


async def settled_faults(
    watched: Watched, scene: Scene, *, within_seconds: float = SETTLE_SECONDS
) -> list[str]:
    found = ["nobody has looked yet"]

    async def are_none() -> bool:
        found[:] = await faults(watched, scene)
        return not found

    with contextlib.suppress(TimeoutError):
        await eventually(are_none, within_seconds=within_seconds)
    return found


@pytest.mark.parametrize("consumer", CONSUMERS)
async def test_each_kind_of_poison_stops_its_partition_or_nothing(consumer: str, stores: Stores) -> None:
    scene = await Scene.new()
    halting = {n for n, kind in enumerate(POISONS) if kind.verdict_of(consumer) == "halts"}
    async with CONSUMERS[consumer](scene, stores) as watched:
        assert await settled_faults(watched, scene) == []
        reads = scene.log.reads.copy()
        await scene.go_on()
        await asyncio.sleep(QUIET_SECONDS)
        assert await settled_faults(watched, scene) == []
        assert {n for n in halting if scene.log.reads[n] != reads[n]} == set(), "halted ones were read again"
        assert watched.halted() in (None, len(halting))
    print(f"poison: {len(POISONS)} kinds before {consumer}, {len(halting)} of them halt it")  # noqa: T201  # the number of trials, for whoever runs it with -s
    assert len(POISONS) == 28


class SkippingRunner(Runner):
    """The seeded bug: what cannot be read is passed over."""

    async def _follow(self, course: Course) -> None:
        try:
            await super()._follow(course)
        except CorruptLogError as error:
            head = replace(self._heads[course.partition], next_offset=error.offset + 1)
            await self._sink.apply(course.partition, Batch(commits=(), head=head))


async def test_the_judge_sees_a_consumer_that_skips_what_it_cannot_read(stores: Stores) -> None:
    scene = await Scene.new()
    async with tables(scene, stores, SkippingRunner) as watched:
        found = await settled_faults(watched, scene, within_seconds=3)
    halting = [kind.name for kind in POISONS if kind.verdict_of("tables") == "halts"]
    accused = {name for name in halting if any(f"tables at {name}: " in fault for fault in found)}
    assert accused == set(halting)
