"""Does in one go what several partitions ask for at the same time.

A transaction of one commit costs its round trips as much as one of fifty. Who asks while one is under way waits
for its end and goes with all the others that wait.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from eventstore.errors import UnavailableError

Item = TypeVar("Item")


class _Asked(NamedTuple, Generic[Item]):
    item: Item
    done: "asyncio.Future[None]"


class Together(Generic[Item]):
    """`work` does all that it is given or nothing. If it raises, each is tried alone, all at the same time.

    What was done although it raised (a transaction whose outcome is unknown) `work` has to find out by itself.
    It runs in a task of its own, so that a partition that is cut off does not take the others with it.
    """

    def __init__(self, work: Callable[[Mapping[int, Item]], Awaitable[None]]) -> None:
        self._work = work
        self._asked: dict[int, _Asked[Item]] = {}
        self._going: asyncio.Task[None] | None = None

    async def join(self, partition: int, item: Item) -> None:
        """Return once it is done; raises what `work` raised for it. A partition asks for one at a time."""
        asked = _Asked(item, asyncio.get_running_loop().create_future())
        self._asked[partition] = asked
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())
        await asked.done

    async def _go(self) -> None:
        present: dict[int, _Asked[Item]] = {}
        try:
            while self._asked:
                present, self._asked = self._asked, {}
                await self._do({number: one for number, one in present.items() if not one.done.done()})
        finally:
            _tell({**present, **self._asked}.values(), UnavailableError("cut off with others"))

    async def _do(self, present: Mapping[int, _Asked[Item]]) -> None:
        if len(present) > 1:
            with contextlib.suppress(Exception):  # alone it turns out whose it was
                await self._work({number: one.item for number, one in present.items()})
                _tell(present.values(), None)
        alone = [self._do_alone(number, one) for number, one in present.items() if not one.done.done()]
        await asyncio.gather(*alone)

    async def _do_alone(self, number: int, one: _Asked[Item]) -> None:
        try:
            await self._work({number: one.item})
        except Exception as error:  # noqa: BLE001  # it is told to whoever asked
            _tell([one], error)
        else:
            _tell([one], None)


def _tell(asked: Iterable[_Asked[Any]], failure: Exception | None) -> None:
    """Those that were not told before."""
    for one in asked:
        if one.done.done():
            continue
        if failure is None:
            one.done.set_result(None)
        else:
            one.done.set_exception(failure)
