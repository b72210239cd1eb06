"""Does in one go what several partitions ask for at the same time.

A transaction of one commit costs its round trips as much as one of fifty. Who asks while one is under way waits
for its end and goes with all the others that wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from eventstore.errors import UnavailableError

Item = TypeVar("Item")


class _Asked(NamedTuple, Generic[Item]):
    item: Item
    done: "asyncio.Future[None]"


class Together(Generic[Item]):
    """`work` does all that it is given, or raises and has done nothing: then each is tried alone.

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
        while self._asked:
            present, self._asked = self._asked, {}
            await self._do({number: one for number, one in present.items() if not one.done.done()})

    async def _do(self, present: Mapping[int, _Asked[Item]]) -> None:
        if not present:
            return
        try:
            await self._work({number: one.item for number, one in present.items()})
        except Exception as error:  # noqa: BLE001  # it is told to whoever asked
            if len(present) == 1:
                _tell(present, error)
                return
            for number, one in present.items():
                await self._do({number: one})
        except BaseException:
            _tell(present, UnavailableError("cut off with others"))
            raise
        else:
            _tell(present, None)


def _tell(present: Mapping[int, _Asked[Any]], failure: Exception | None) -> None:
    for one in present.values():
        if one.done.done():
            continue
        if failure is None:
            one.done.set_result(None)
        else:
            one.done.set_exception(failure)
