"""Follows the public feed: each event once, in order, with what it brought about in one transaction of your own.

Repetitions are passed over by their place, a missing number halts. An event that its handler refuses again and
again is buried with its reason, and so are all later events of the same subject, in order, until `retry_dead_letters`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
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


class _RefusedError(Exception):
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


@dataclass(slots=True)
class _Course:
    """One partition while this process has it."""

    partition: int
    checkpoint: Checkpoint
    offset: int
    has_searched: bool
    """Whether the topic was looked through from its beginning already."""
    progress: Progress = field(default_factory=Progress)


class Subscriber(Generic[Tx]):
    """`start` counts only where this consumer never was; to replay, give it another name and another `start`.

    `partitions` are those that this process follows, all of them if it is None. Processes with the same partitions
    stand by for one another. Events without a handler are passed over, in order, like the others.
    """

    def __init__(
        self,
        feed: Feed,
        checkpoints: Checkpoints[Tx],
        *,
        start: Start = "earliest",
        partitions: Sequence[int] | None = None,
        retry: Retry = Retry(),
    ) -> None:
        self._feed = feed
        self._checkpoints = checkpoints
        self._start = start
        self._partitions = partitions
        self._retry = retry
        self._handlers: dict[str, Handler[Tx]] = {}
        self._stopping = asyncio.Event()
        self._at_work: set[int] = set()
        self.progress: dict[int, Progress] = {}

    def on(self, event_type: str) -> Callable[[Handler[Tx]], Handler[Tx]]:
        """Decorator: this function handles such events. An exception means that it could not."""

        def register(handler: Handler[Tx]) -> Handler[Tx]:
            if event_type in self._handlers:
                raise ValueError(f"{event_type} has a handler already")
            self._handlers[event_type] = handler
            return handler

        return register

    def stop(self) -> None:
        """Let `run` return once what was begun is committed."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. GapError or WrongLogError, in a group, if a partition cannot go on without somebody's help."""
        numbers = self._partitions
        if numbers is None:
            numbers = await self._feed.partitions()
        self._checkpoints.require_room(len(numbers))
        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                tasks.create_task(self._keep_following(number))

    async def retry_dead_letters(self, partition: int | None = None) -> int:
        """Try each buried event once more, in order; how many are left. What fails stays, with all behind it.

        Several processes may do so at once: each event is handled by one of them.
        """
        left, stuck = 0, set[tuple[int, str]]()
        async with self._checkpoints.transaction() as tx:
            letters = await self._checkpoints.dead_letters(tx, partition)
        for letter in letters:
            event = letter.event
            if (event.partition, event.subject) in stuck:
                left += 1
                continue
            try:
                async with self._checkpoints.transaction() as tx:
                    await self._checkpoints.forget(tx, event)
                    await self._handle(tx, event)
            except OutrunError:
                continue
            except _RefusedError as error:
                async with self._checkpoints.transaction() as tx:
                    blamed = replace(letter, reason=error.reason, tries=letter.tries + 1)
                    await self._checkpoints.blame(tx, blamed)
                stuck.add((event.partition, event.subject))
                left += 1
        return left

    async def _keep_following(self, partition: int) -> None:
        pause = self._retry.pause_seconds
        while not self._stopping.is_set():
            progress = self.progress.setdefault(partition, Progress())
            handled = progress.handled
            try:
                await self._follow_in_turn(partition, progress)
            except OutrunError:
                _log.info("partition %s: another process went on from here", partition)
            except (FeedUnavailableError, StoreUnavailableError) as error:
                progress.trouble = str(error)
                _log.warning("partition %s: %s; it is tried again", partition, error)
            if progress.handled > handled:
                pause = self._retry.pause_seconds
            await self._rest(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _follow_in_turn(self, partition: int, progress: Progress) -> None:
        """Wait for the turn, but not longer than until `stop`; then finish what was begun."""
        progress.trouble = progress.trouble or "stands by"
        following = asyncio.ensure_future(self._take_turn(partition, progress))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if partition not in self._at_work:
                following.cancel()
            await asyncio.wait({following})
        finally:
            for task in (following, stopping):
                task.cancel()
            await asyncio.wait({following, stopping})
        if not following.cancelled():
            following.result()

    async def _take_turn(self, partition: int, progress: Progress) -> None:
        async with self._checkpoints.turn(partition):
            self._at_work.add(partition)
            try:
                course = await self._begin(partition, progress)
                while not self._stopping.is_set():
                    await self._step(course)
            finally:
                self._at_work.discard(partition)

    async def _begin(self, partition: int, progress: Progress) -> _Course:
        """Where it was left. A topic that was made anew, or mirrored, has other offsets: there it is looked for."""
        begin, end = await self._feed.begin(partition), await self._feed.end(partition)
        stored = await self._checkpoints.load(partition)
        if stored is None:
            offset = await self._first_offset(partition)
            stored = Checkpoint(place=self._first_place(partition), next_offset=offset)
            async with self._checkpoints.transaction() as tx:
                await self._checkpoints.advance(tx, partition, None, stored)
        is_there = begin <= stored.next_offset <= end
        return _Course(partition, stored, stored.next_offset if is_there else begin, not is_there, progress)

    def _first_place(self, partition: int) -> Place | None:
        if self._start == "earliest":
            return None
        if isinstance(self._start, Mapping):
            return Place(seq=self._start.get(partition, 0) - 1, number=_HIGHEST)
        return Place(seq=-1, number=0)

    async def _first_offset(self, partition: int) -> int:
        if self._start == "latest":
            return await self._feed.end(partition)
        if isinstance(self._start, datetime):
            return await self._feed.offset_at(partition, self._start)
        return await self._feed.begin(partition)

    async def _step(self, course: _Course) -> None:
        """Read some events and handle them together; one after the other if one of them is refused."""
        progress, number = course.progress, course.partition
        progress.next_offset, progress.end = course.offset, await self._feed.end(number)
        try:
            records = await self._feed.read(number, course.offset, wait_seconds=_READ_SECONDS)
        except OffsetLostError:
            course.offset = await self._feed.begin(number)
            return
        progress.trouble = ""
        events: list[Event] = []
        last = course.checkpoint
        try:
            for record in records:
                event = parse_event(record)
                if event is not None and (last.place is None or event.place > last.place):
                    last = self._require_next(course, last, event)
                    events.append(event)
        except GapError:
            if course.has_searched:
                raise
            course.has_searched, course.offset = True, await self._feed.begin(number)
            return
        if records:
            course.offset = records[-1].offset + 1
            await self._handle_all(course, events)

    def _require_next(self, course: _Course, last: Checkpoint, event: Event) -> Checkpoint:
        where = f"partition {course.partition}, event {event.id}"
        if last.source not in ("", event.source):
            raise WrongLogError(f"{where} is of {event.source}, and the ones before were of {last.source}")
        is_first = last.place is not None and not last.source
        if not is_first and event.sequence != last.sequence + 1:
            raise GapError(
                f"{where} is number {event.sequence}, and the last one was {last.sequence}: events are missing"
            )
        return Checkpoint(source=event.source, place=event.place, sequence=event.sequence)

    async def _handle_all(self, course: _Course, events: Sequence[Event]) -> None:
        if not events:
            return
        try:
            await self._commit(course, events, course.offset)
        except _RefusedError:
            for number, event in enumerate(events, start=1):
                offset = course.offset if number == len(events) else None
                if not await self._insist(course, event, offset):
                    return

    async def _insist(self, course: _Course, event: Event, offset: int | None) -> bool:
        """One event until it is handled or buried; False if it is told to stop before that.

        What was read of others behind it is read again after a kill.
        """
        pause = self._retry.pause_seconds
        for tried in range(1, self._retry.tries + 1):
            try:
                await self._commit(course, (event,), offset)
            except _RefusedError as error:
                kind = error.reason.partition(":")[0]
                _log.warning("%s %s was refused by %s", event.type, event.id, kind)
                if tried == self._retry.tries:
                    letter = DeadLetter(event=event, reason=error.reason, tries=tried)
                    await self._commit(course, (), offset, letter)
                elif await self._rest(pause):
                    return False
                else:
                    pause *= 2
            else:
                return True
        return True

    async def _commit(
        self, course: _Course, events: Sequence[Event], offset: int | None, letter: DeadLetter | None = None
    ) -> None:
        """Handle, bury and move the checkpoint, all or nothing."""
        last = events[-1] if events else letter.event if letter is not None else None
        assert last is not None
        before, buried = course.checkpoint, 0
        at = before.next_offset if offset is None else offset
        after = Checkpoint(source=last.source, place=last.place, sequence=last.sequence, next_offset=at)
        async with self._checkpoints.transaction() as tx:
            await self._checkpoints.advance(tx, course.partition, before, after)
            dead = await self._checkpoints.dead_subjects(tx, course.partition)
            for event in events:
                if event.subject in dead:
                    waits = DeadLetter(event=event, reason="waits behind another of its subject", tries=0)
                    await self._checkpoints.bury(tx, waits)
                    buried += 1
                else:
                    await self._handle(tx, event)
            if letter is not None:
                await self._checkpoints.bury(tx, letter)
                buried += 1
        course.checkpoint = after
        course.progress.handled += len(events)
        course.progress.buried += buried

    async def _handle(self, tx: Tx, event: Event) -> None:
        handler = self._handlers.get(event.type)
        if handler is None:
            return
        try:
            await handler(event, tx)
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise _RefusedError(event, f"{type(error).__name__}: {error}"[:500]) from error

    async def _rest(self, seconds: float) -> bool:
        """True if it was told to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
