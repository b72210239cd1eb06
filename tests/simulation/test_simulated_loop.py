"""The loop of simulations: virtual time, processes that die at any await, and the same steps for the same seed."""

import asyncio
import random

import pytest

from tests.simulation.loop import Pace, Process, SimulatedLoop, StuckError, new_loop

PACE = Pace(persistence=0.0, step_seconds=0.0, slow=-1)
MAIN = Process(0, "main")


def loop_of(seed: int = 0, *, max_steps: int = 1000) -> SimulatedLoop:
    return new_loop(random.Random(seed), PACE, max_steps=max_steps)


async def _count(said: list[str], name: str, turns: int) -> None:
    try:
        for number in range(turns):
            said.append(f"{name}{number}")
            await asyncio.sleep(0)
    finally:
        said.append(f"{name} ends")


def race(seed: int) -> list[str]:
    said: list[str] = []
    loop, processes = loop_of(seed), [Process(1, "a"), Process(2, "b")]

    async def main() -> None:
        await asyncio.gather(*(loop.spawn(one, _count(said, one.name, 5)) for one in processes))

    loop.run(MAIN, main())
    loop.close()
    return said


def test_the_seed_decides_who_goes_on() -> None:
    assert race(1) == race(1)
    assert len({tuple(race(seed)) for seed in range(20)}) > 10
    assert [word for word in race(3) if word.startswith("a")] == ["a0", "a1", "a2", "a3", "a4", "a ends"]


def test_time_jumps_to_the_next_that_waits() -> None:
    loop = loop_of()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert loop.run(MAIN, main()) == 3600
    loop.close()


@pytest.mark.parametrize("step", range(1, 6))
def test_who_is_killed_takes_no_further_step(step: int) -> None:
    said: list[str] = []
    loop, victim = loop_of(), Process(1, "v")
    victim.at_step, victim.strike = step, lambda: loop.kill(victim)

    async def main() -> None:
        loop.spawn(victim, _count(said, "v", 5))
        await asyncio.sleep(1)

    loop.run(MAIN, main())
    assert said == [f"v{number}" for number in range(step)]
    loop.close()


def test_who_stands_goes_on_where_he_stood() -> None:
    said: list[str] = []
    loop, sleeper = loop_of(), Process(1, "s")
    sleeper.at_step, sleeper.strike = 2, lambda: loop.pause(sleeper)

    async def main() -> list[str]:
        task = loop.spawn(sleeper, _count(said, "s", 3))
        await asyncio.sleep(1)
        before = list(said)
        loop.resume(sleeper)
        await task
        return before

    assert loop.run(MAIN, main()) == ["s0", "s1"]
    assert said == ["s0", "s1", "s2", "s ends"]
    loop.close()


def test_waiting_for_nobody_is_noticed() -> None:
    loop = loop_of()

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError):
        loop.run(MAIN, main())
    loop.close()


def test_going_round_in_circles_is_noticed() -> None:
    loop = loop_of(max_steps=50)
    with pytest.raises(StuckError):
        loop.run(MAIN, _count([], "m", 1000))
    loop.close()
