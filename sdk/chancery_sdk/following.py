"""Follows one partition of the feed until it is told to stop: each event once, in order, a missing number halts."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, Literal

from chancery_sdk.checkpoints import (
    Checkpoint,
    Checkpoints,
    DeadLetter,
    OutrunError,
    StoreUnavailableError,
    Tx,
)
from chancery_sdk.events import Event, Place, parse_event
from chancery_sdk.feed import Feed, FeedUnavailableError, OffsetLostError
from chancery_sdk.traces import handling

Start = Literal["earliest", "latest"] | datetime | Mapping[int, int]
"""Where a consumer begins: with everything, with what comes from now on, with what was stored at that time or later,
or at these positions (`{partition: seq}`)."""
Handler = Callable[[Event, Tx], Awaitable[None]]

_READ_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_HIGHEST = 2**31 - 1
_log = logging.getLogger("chancery_sdk")


class GapError(Exception):
    """Events are missing. Going on would skip them in silence, so somebody must look."""


class WrongLogError(Exception):
    """The topic holds the events of another log than those that were handled before."""


class RefusedError(Exception):
    """A handler raised."""

    def __init__(self, event: Event, reason: str) -> None:
        super().__init__(reason)
        self.event = event
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a refused event is tried before it is buried, and how long the first pause is; it doubles."""

    tries: int = 3
    pause_seconds: float = 0.2


USUAL_RETRY = Retry()


@dataclass(slots=True)
class Progress:
    """How far a partition came in this process. `end` is the topic's, as it was asked for last."""

    next_offset: int = 0
    end: int = 0
    handled: int = 0
    buried: int = 0
    trouble: str = ""

    @property
    def lag(self) -> int:
        return max(0, self.end - self.next_offset)


@dataclass(slots=True, kw_only=True)
class Work(Generic[Tx]):
    """What is the same for every partition of a subscriber."""

    feed: Feed
    checkpoints: Checkpoints[Tx]
    start: Start
    retry: Retry
    handlers: dict[str, Handler[Tx]] = field(default_factory=dict)
    progress: dict[int, Progress] = field(default_factory=dict)
    kept: dict[int, Place] = field(default_factory=dict)
    """The last event of each partition that this process handled, where the store cannot take back what was done."""

    async def handle(self, tx: Tx, event: Event) -> None:
        """RefusedError if its handler raises."""
        handler = self.handlers.get(event.type)
        if handler is None:
            return
        try:
            with handling(event):
                await handler(event, tx)
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise RefusedError(event, f"{type(error).__name__}: {error}"[:500]) from error

    async def handle_once(self, tx: Tx, event: Event) -> None:
        """As `handle`; what was handled and could not be taken back is passed over."""
        kept = self.kept.get(event.partition)
        if kept is not None and event.place <= kept:
            return
        await self.handle(tx, event)
        if not self.checkpoints.takes_back:
            self.kept[event.partition] = event.place


Turn = Callable[[int], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def no_turn(_: int) -> AsyncIterator[None]:
    """Somebody else sees to it that one process follows a partition."""
    yield


@dataclass(slots=True)
class _Course:
    """One partition while this process has it."""

    checkpoint: Checkpoint
    offset: int
    has_searched: bool
    """Whether the topic was looked through from its beginning already."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An event that is new here, and the checkpoint after it."""

    event: Event
    after: Checkpoint


class Following(Generic[Tx]):
    """`stopping` lets it end once what was begun is committed. `turn` is waited for before anything is done."""

    def __init__(self, work: Work[Tx], partition: int, stopping: asyncio.Event, turn: Turn) -> None:
        self._work = work
        self._feed = work.feed
        self._checkpoints = work.checkpoints
        self._partition = partition
        self._stopping = stopping
        self._turn = turn
        self._is_at_work = False
        self._progress = work.progress.setdefault(partition, Progress())

    async def keep_going(self) -> None:
        """Until it is told to stop. GapError or WrongLogError if it cannot go on without somebody's help."""
        first_pause = self._work.retry.pause_seconds
        pause = first_pause
        while not self._stopping.is_set():
            handled = self._progress.handled
            try:
                await self._follow_in_turn()
            except OutrunError:
                _log.info("partition %s: another process went on from here", self._partition)
            except (FeedUnavailableError, StoreUnavailableError) as error:
                self._progress.trouble = str(error)
                _log.warning("partition %s: %s; it is tried again", self._partition, error)
            if self._progress.handled > handled:
                pause = first_pause
            await self._rest(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _follow_in_turn(self) -> None:
        """Wait for the turn, but not longer than until `stop`; then finish what was begun."""
        self._progress.trouble = self._progress.trouble or "stands by"
        following = asyncio.ensure_future(self._take_turn())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._is_at_work:
                following.cancel()
            await asyncio.wait({following})
        finally:
            for task in (following, stopping):
                task.cancel()
            await asyncio.wait({following, stopping})
        if not following.cancelled():
            following.result()

    async def _take_turn(self) -> None:
        async with self._turn(self._partition):
            self._is_at_work = True
            try:
                course = await self._begin()
                while not self._stopping.is_set():
                    await self._step(course)
            finally:
                self._is_at_work = False

    async def _begin(self) -> _Course:
        """Where it was left. A topic that was made anew, or mirrored, has other offsets: there it is looked for."""
        partition = self._partition
        begin, end = await self._feed.begin(partition), await self._feed.end(partition)
        stored = await self._checkpoints.load(partition)
        if stored is None:
            offset = await self._first_offset()
            stored = Checkpoint(place=self._first_place(), next_offset=offset)
            async with self._checkpoints.transaction() as tx:
                await self._checkpoints.advance(tx, partition, None, stored)
        is_there = begin <= stored.next_offset <= end
        return _Course(stored, stored.next_offset if is_there else begin, not is_there)

    def _first_place(self) -> Place | None:
        start = self._work.start
        if start == "earliest":
            return None
        if isinstance(start, Mapping):
            return Place(seq=start.get(self._partition, 0) - 1, number=_HIGHEST)
        return Place(seq=-1, number=0)

    async def _first_offset(self) -> int:
        start = self._work.start
        if start == "latest":
            return await self._feed.end(self._partition)
        if isinstance(start, datetime):
            return await self._feed.offset_at(self._partition, start)
        return await self._feed.begin(self._partition)

    async def _step(self, course: _Course) -> None:
        """Read some events and handle them together; one after the other if one of them is refused.

        What stands before an event that halts is handled first.
        """
        progress, number = self._progress, self._partition
        progress.next_offset, progress.end = course.offset, await self._feed.end(number)
        try:
            records = await self._feed.read(number, course.offset, wait_seconds=_READ_SECONDS)
        except OffsetLostError:
            course.offset = await self._feed.begin(number)
            return
        progress.trouble = ""
        found: list[_Found] = []
        last = course.checkpoint
        try:
            for record in records:
                event = parse_event(record)
                if event is not None and (last.place is None or event.place > last.place):
                    last = self._require_next(last, event, record.offset + 1)
                    found.append(_Found(event, last))
        except (GapError, WrongLogError) as error:
            if found:
                course.offset = found[-1].after.next_offset
                await self._handle_all(course, found)
                return
            if course.has_searched or isinstance(error, WrongLogError):
                raise
            course.has_searched, course.offset = True, await self._feed.begin(number)
            return
        if records:
            course.offset = records[-1].offset + 1
            await self._handle_all(course, found)

    def _require_next(self, last: Checkpoint, event: Event, next_offset: int) -> Checkpoint:
        where = f"partition {self._partition}, event {event.id}"
        if last.source not in ("", event.source):
            raise WrongLogError(f"{where} is of {event.source}, and the ones before were of {last.source}")
        is_first = last.place is not None and not last.source
        if not is_first and event.sequence != last.sequence + 1:
            raise GapError(
                f"{where} is number {event.sequence}, and the last one was {last.sequence}: events are missing"
            )
        return Checkpoint(
            source=event.source, place=event.place, sequence=event.sequence, next_offset=next_offset
        )

    async def _handle_all(self, course: _Course, found: Sequence[_Found]) -> None:
        if not found:
            return
        try:
            after = replace(found[-1].after, next_offset=course.offset)
            await self._commit(course, after, [one.event for one in found])
        except RefusedError:
            for one in found:
                if not await self._insist(course, one):
                    return

    async def _insist(self, course: _Course, found: _Found) -> bool:
        """One event until it is handled or buried; False if it is told to stop before that."""
        event, pause = found.event, self._work.retry.pause_seconds
        for tried in range(1, self._work.retry.tries + 1):
            try:
                await self._commit(course, found.after, (event,))
            except RefusedError as error:
                kind = error.reason.partition(":")[0]
                _log.warning("%s %s was refused by %s", event.type, event.id, kind)
                if tried == self._work.retry.tries:
                    letter = DeadLetter(event=event, reason=error.reason, tries=tried)
                    await self._commit(course, found.after, (), letter)
                elif await self._rest(pause):
                    return False
                else:
                    pause *= 2
            else:
                return True
        return True

    async def _commit(
        self, course: _Course, after: Checkpoint, events: Sequence[Event], letter: DeadLetter | None = None
    ) -> None:
        """Handle, bury and move the checkpoint, all or nothing."""
        buried = 0
        async with self._checkpoints.transaction() as tx:
            await self._checkpoints.advance(tx, self._partition, course.checkpoint, after)
            dead = await self._checkpoints.dead_subjects(tx, self._partition)
            for event in events:
                if event.subject in dead:
                    waits = DeadLetter(event=event, reason="waits behind another of its subject", tries=0)
                    await self._checkpoints.bury(tx, waits)
                    buried += 1
                else:
                    await self._work.handle_once(tx, event)
            if letter is not None:
                await self._checkpoints.bury(tx, letter)
                buried += 1
        course.checkpoint = after
        self._progress.handled += len(events)
        self._progress.buried += buried

    async def _rest(self, seconds: float) -> bool:
        """True if it was told to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
