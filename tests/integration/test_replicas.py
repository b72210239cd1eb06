"""Command processes that hear of one another through a real Valkey, and go on without it."""

import asyncio
from collections.abc import Sequence

import redis

from command_api import replicas as module
from command_api.replicas import AVOID_SECONDS, LIFE_SECONDS, Replica, Replicas
from runtime.redis import Valkey

PARTITIONS = 64


def three(valkey: Valkey) -> list[Replicas]:
    return [
        Replicas(Replica(f"replica-{n}", f"http://127.0.0.1:{n}"), valkey, partitions=PARTITIONS)
        for n in range(3)
    ]


async def beat_twice(all_of_them: Sequence[Replicas]) -> None:
    for _ in range(2):
        for one in all_of_them:
            await one.beat()


async def test_every_partition_is_preferred_by_exactly_one(valkey: Valkey) -> None:
    fellows = three(valkey)
    await beat_twice(fellows)
    owned = [number for one in fellows for number in one.own_partitions()]
    assert sorted(owned) == list(range(PARTITIONS))
    for number in range(PARTITIONS):
        named = {one.preferred(number) for one in fellows} - {None}
        assert len(named) == 1


async def test_a_process_that_leaves_is_gone_at_once(valkey: Valkey) -> None:
    fellows = three(valkey)
    running = asyncio.create_task(fellows[0].run())
    await asyncio.sleep(0.1)  # its first beat; within it the others' views do not matter
    await beat_twice(fellows[1:])
    shared = fellows[1].own_partitions()
    running.cancel()
    await asyncio.wait([running])
    await beat_twice(fellows[1:])
    assert set(shared) < set(fellows[1].own_partitions())
    assert len(fellows[1].own_partitions()) + len(fellows[2].own_partitions()) == PARTITIONS


async def test_a_process_that_was_killed_is_gone_after_its_life(valkey: Valkey) -> None:
    fellows = three(valkey)
    await beat_twice(fellows)
    until = asyncio.get_running_loop().time() + LIFE_SECONDS + 0.2
    while asyncio.get_running_loop().time() < until:
        await beat_twice(fellows[1:])
        await asyncio.sleep(0.1)  # between two beats, within the bound above
    assert len(fellows[1].own_partitions()) + len(fellows[2].own_partitions()) == PARTITIONS


async def test_a_process_that_hears_nothing_decides_everything_itself(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    fellows = three(valkey)
    await beat_twice(fellows)
    assert len(fellows[0].own_partitions()) < PARTITIONS
    valkey_admin.set(module._KEY, "of another type")  # noqa: SLF001  # so that every beat fails
    await fellows[0].beat()
    await asyncio.sleep(LIFE_SECONDS + 0.1)  # what was heard is not believed for longer
    assert fellows[0].own_partitions() == tuple(range(PARTITIONS))


async def test_after_a_flush_all_are_known_again(valkey: Valkey, valkey_admin: "redis.Redis") -> None:
    fellows = three(valkey)
    await beat_twice(fellows)
    before = [one.own_partitions() for one in fellows]
    valkey_admin.flushall()
    await beat_twice(fellows)
    assert [one.own_partitions() for one in fellows] == before


async def test_a_process_that_does_not_answer_is_avoided_for_a_while(valkey: Valkey) -> None:
    fellows = three(valkey)
    await beat_twice(fellows)
    number = next(n for n in range(PARTITIONS) if fellows[0].preferred(n) is not None)
    replica = fellows[0].preferred(number)
    assert replica is not None
    fellows[0].avoid(replica)
    assert fellows[0].preferred(number) is None
    until = asyncio.get_running_loop().time() + AVOID_SECONDS + 0.1
    while asyncio.get_running_loop().time() < until:
        await beat_twice(fellows)
        await asyncio.sleep(0.1)  # as above
    assert fellows[0].preferred(number) == replica
