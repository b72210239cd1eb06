"""Several partitions' work in one go: who comes meanwhile goes with the next, and one that fails harms no other."""

import asyncio
from collections.abc import Mapping

import pytest

from eventstore.errors import UnavailableError
from projectors.together import Together
from tests.support.tasks import eventually


class Work:
    """Takes as long as it is held; fails for numbers that are named, before it does anything."""

    def __init__(self) -> None:
        self.tried: list[dict[int, str]] = []
        self.done: list[dict[int, str]] = []
        self.fails_for: set[int] = set()
        self.is_held = False
        self._free = asyncio.Event()

    async def __call__(self, items: Mapping[int, str]) -> None:
        self.tried.append(dict(items))
        if self.is_held:
            await self._free.wait()
        if self.fails_for & items.keys():
            raise ValueError(min(self.fails_for & items.keys()))
        self.done.append(dict(items))

    async def hold_first(self, together: Together[str]) -> "asyncio.Task[None]":
        """Partition 9 is being worked for, until it is let go."""
        self.is_held = True
        first = asyncio.create_task(together.join(9, "first"))

        async def is_tried() -> bool:
            return bool(self.tried)

        await eventually(is_tried)
        return first

    def let_go(self) -> None:
        self.is_held = False
        self._free.set()


async def join_all(together: Together[str], numbers: range) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(together.join(number, f"item {number}")) for number in numbers]
    await asyncio.sleep(0)  # so that each has asked
    return tasks


async def test_who_comes_meanwhile_goes_with_the_next() -> None:
    work = Work()
    together = Together(work)
    first = await work.hold_first(together)
    waiting = await join_all(together, range(3))
    assert work.tried == [{9: "first"}]
    work.let_go()
    await asyncio.wait_for(asyncio.gather(first, *waiting), 5)
    assert work.done == [{9: "first"}, {0: "item 0", 1: "item 1", 2: "item 2"}]


async def test_one_that_fails_harms_no_other_and_is_told_alone() -> None:
    work = Work()
    together = Together(work)
    first = await work.hold_first(together)
    waiting = await join_all(together, range(3))
    work.fails_for = {1}
    work.let_go()
    results = await asyncio.wait_for(asyncio.gather(first, *waiting, return_exceptions=True), 5)
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None)]
    assert work.done == [{9: "first"}, {0: "item 0"}, {2: "item 2"}]
    work.fails_for = set()
    await asyncio.wait_for(together.join(1, "again"), 5)
    assert work.done[-1] == {1: "again"}


async def test_who_is_cut_off_takes_nobody_along() -> None:
    """The one whose work is under way is cut off, and one that waits; neither is worked for again."""
    work = Work()
    together = Together(work)
    first = await work.hold_first(together)
    waiting = await join_all(together, range(3))
    for task in (first, waiting[1]):
        task.cancel()
    await asyncio.wait({first, waiting[1]})
    work.let_go()
    await asyncio.wait_for(asyncio.gather(waiting[0], waiting[2]), 5)
    assert work.done == [{9: "first"}, {0: "item 0", 2: "item 2"}]


async def test_whoever_waits_is_told_when_the_work_itself_is_cut_off() -> None:
    async def cut_off(_: Mapping[int, str]) -> None:
        raise asyncio.CancelledError

    with pytest.raises(UnavailableError):
        await asyncio.wait_for(Together(cut_off).join(0, "item"), 5)
