"""Follows the public feed: each event once, in order, with what it brought about in one transaction of your own.

Repetitions are passed over by their place, a missing number halts. An event that its handler refuses again and
again is buried with its reason, and so are all later events of the same subject, in order, until `retry_dead_letters`.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Generic

from chancery_sdk.checkpoints import Checkpoints, OutrunError, Tx
from chancery_sdk.feed import Feed
from chancery_sdk.following import (
    USUAL_RETRY,
    Following,
    GapError,
    Handler,
    Progress,
    RefusedError,
    Retry,
    Start,
    Turn,
    Work,
    WrongLogError,
    no_turn,
)
from chancery_sdk.sharing import Hands, Sharing

__all__ = ["GapError", "Handler", "Progress", "Retry", "Start", "Subscriber", "WrongLogError"]

_FINISH_SECONDS = 5.0
"""A partition that goes to another process is given up by then, also in the middle of an event."""
_CANCEL_SECONDS = 2.0
_log = logging.getLogger("chancery_sdk")


class Subscriber(Generic[Tx]):
    """`start` counts only where this consumer never was; to replay, give it another name and another `start`.

    `partitions` are those that this process follows: all of them if it is None, these numbers (processes with the same
    ones stand by for one another), or what it gets of a group that shares them. Events without a handler are passed
    over, in order, like the others.
    """

    def __init__(
        self,
        feed: Feed,
        checkpoints: Checkpoints[Tx],
        *,
        start: Start = "earliest",
        partitions: Sequence[int] | Sharing | None = None,
        retry: Retry = USUAL_RETRY,
    ) -> None:
        self._work = Work(feed=feed, checkpoints=checkpoints, start=start, retry=retry)
        self._partitions = partitions
        self._stopping = asyncio.Event()

    @property
    def progress(self) -> dict[int, Progress]:
        return self._work.progress

    def on(self, event_type: str) -> Callable[[Handler[Tx]], Handler[Tx]]:
        """Decorator: this function handles such events. An exception means that it could not."""

        def register(handler: Handler[Tx]) -> Handler[Tx]:
            if event_type in self._work.handlers:
                raise ValueError(f"{event_type} has a handler already")
            self._work.handlers[event_type] = handler
            return handler

        return register

    def stop(self) -> None:
        """Let `run` return once what was begun is committed."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. An error in a group if a partition cannot go on without somebody's help.

        GapError, WrongLogError, or NoDeadLettersError where the store keeps none.
        """
        if self._partitions is None:
            await self._follow(await self._work.feed.partitions())
        elif isinstance(self._partitions, Sequence):
            await self._follow(self._partitions)
        else:
            await self._share(self._partitions)

    async def _follow(self, partitions: Sequence[int]) -> None:
        self._work.checkpoints.require_room(len(partitions))
        turn = self._work.checkpoints.turn
        async with asyncio.TaskGroup() as tasks:
            for partition in partitions:
                tasks.create_task(Following(self._work, partition, self._stopping, turn).keep_going())

    async def _share(self, sharing: Sharing) -> None:
        async with asyncio.TaskGroup() as tasks:
            hands = _Hands(self._work, tasks)
            member = tasks.create_task(sharing.take_part(hands))
            await self._stopping.wait()
            await hands.close()
            member.cancel()

    async def retry_dead_letters(self, partition: int | None = None) -> int:
        """Try each buried event once more, in order; how many are left. What fails stays, with all behind it.

        Several processes may do so at once: each event is handled by one of them.
        """
        checkpoints = self._work.checkpoints
        left, stuck = 0, set[tuple[int, str]]()
        async with checkpoints.transaction() as tx:
            letters = await checkpoints.dead_letters(tx, partition)
        for letter in letters:
            event = letter.event
            if (event.partition, event.subject) in stuck:
                left += 1
                continue
            try:
                async with checkpoints.transaction() as tx:
                    await checkpoints.forget(tx, event)
                    await self._work.handle(tx, event)
            except OutrunError:
                continue
            except RefusedError as error:
                async with checkpoints.transaction() as tx:
                    blamed = replace(letter, reason=error.reason, tries=letter.tries + 1)
                    await checkpoints.blame(tx, blamed)
                stuck.add((event.partition, event.subject))
                left += 1
        return left


class _Hands(Hands, Generic[Tx]):
    """Follows the partitions of a group's member. One that comes back waits until its last following has ended."""

    def __init__(self, work: Work[Tx], tasks: asyncio.TaskGroup) -> None:
        self._work = work
        self._tasks = tasks
        self._followings: dict[int, asyncio.Task[None]] = {}
        self._stopping: dict[int, asyncio.Event] = {}
        self._is_closed = False

    async def take(self, partitions: Collection[int]) -> None:
        if self._is_closed:
            return
        for partition in partitions:
            stopping = self._stopping[partition] = asyncio.Event()
            before = self._followings.get(partition)
            following = self._follow(partition, stopping, before, no_turn)
            self._followings[partition] = self._tasks.create_task(following)

    async def leave(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            if partition in self._stopping:
                self._stopping[partition].set()
        tasks = {
            task for number, task in self._followings.items() if number in partitions and not task.done()
        }
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_FINISH_SECONDS)
        for task in late:
            _log.warning("a partition is given up in the middle of an event, because another process gets it")
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_SECONDS)

    async def close(self) -> None:
        self._is_closed = True
        await self.leave(list(self._followings))

    async def _follow(
        self, partition: int, stopping: asyncio.Event, before: asyncio.Task[None] | None, turn: Turn
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        await Following(self._work, partition, stopping, turn).keep_going()
