"""Health: a part that failed says why, and one that fell silent fails by itself."""

import asyncio

from runtime.health import Health


def test_a_process_without_parts_is_healthy() -> None:
    assert Health().failing() == {}


def test_a_part_that_fails_says_why_until_it_works_again() -> None:
    health = Health()
    health.set("kafka", "does not answer")
    health.set("postgres", None)
    assert health.failing() == {"kafka": "does not answer"}
    health.set("kafka", None)
    assert health.failing() == {}


async def test_a_part_with_a_life_fails_when_nobody_says_again_that_it_works() -> None:
    health = Health()
    health.set("follower", None, life_seconds=0.05)
    assert health.failing() == {}
    await asyncio.sleep(0.06)
    assert health.failing() == {"follower": "no sign of life"}
    health.set("follower", None, life_seconds=60)
    assert health.failing() == {}


async def test_a_reason_that_was_given_counts_more_than_silence() -> None:
    health = Health()
    health.set("follower", None, life_seconds=0.01)
    health.set("follower", "the chain is broken", life_seconds=60)
    await asyncio.sleep(0.02)
    assert health.failing() == {"follower": "the chain is broken"}
