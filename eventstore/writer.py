"""Commands become commits: decide on the folded state, append, and acknowledge only what is known to count.

Any number of writers may write any partition at once; the chain decides.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.aggregate import AnyAggregate
from events.streams import partition_of
from eventstore.command import Command
from eventstore.commit import Actor
from eventstore.draft import Decide, Done, Draft, Origin
from eventstore.errors import BasisMovedError, CorruptLogError, UnavailableError
from eventstore.keyring import Keyring
from eventstore.lane import Lane
from eventstore.log import Log
from eventstore.partition import Partition
from eventstore.snapshots import Snapshots
from runtime.clock import Clock

__all__ = ["Decide", "Done", "Draft", "Limits", "Origin", "Stores", "Writer"]

R = TypeVar("R")
_READER = Origin(actor=Actor(kind="system"))
_MAX_UNSAVED = 20_000
"""Streams of one partition that may wait to be saved before it takes no more commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What a writer works on."""

    log: Log
    keyring: Keyring
    snapshots: Snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`max_open` commands and `max_in_flight` commits for each partition; `cache_bytes` for all together."""

    deadline_seconds: float
    max_open: int = 512
    max_in_flight: int = 256
    cache_bytes: int = 256 * 1024 * 1024


class Writer:
    """Takes commands for every partition."""

    def __init__(
        self, stores: Stores, aggregates: Mapping[str, AnyAggregate], clock: Clock, limits: Limits
    ) -> None:
        self._limits = limits
        self._lanes = [
            self._lane(number, stores, aggregates, clock) for number in range(stores.log.partitions)
        ]
        self._pinned: dict[str, Any] = {}

    def _lane(
        self, number: int, stores: Stores, aggregates: Mapping[str, AnyAggregate], clock: Clock
    ) -> Lane:
        partition = Partition(
            number,
            stores.log,
            stores.keyring,
            aggregates,
            stores.snapshots,
            cache_bytes=self._limits.cache_bytes // stores.log.partitions,
        )
        return Lane(
            partition,
            stores.log,
            stores.keyring,
            clock,
            max_open=self._limits.max_open,
            max_in_flight=self._limits.max_in_flight,
        )

    @property
    def partitions(self) -> int:
        return len(self._lanes)

    @property
    def open_commands(self) -> int:
        """Commands that are not answered yet."""
        return sum(lane.open_commands for lane in self._lanes)

    @property
    def void_records(self) -> int:
        return sum(lane.partition.void_records for lane in self._lanes)

    async def catch_up(
        self, partitions: Iterable[int] | None = None, *, deadline_seconds: float | None = None
    ) -> Mapping[int, str]:
        """Read partitions (all) to their present ends; the reasons of those that are halted, by partition.

        Without a deadline it takes as long as the log is long, and ends with the first UnavailableError.
        """
        halted: dict[int, str] = {}
        for number in range(len(self._lanes)) if partitions is None else partitions:
            try:
                await self._run(self._lanes[number], "", _look, _READER, deadline_seconds)
            except CorruptLogError as error:
                halted[number] = str(error)
        return halted

    async def save(self, partitions: Iterable[int] | None = None) -> None:
        """Bring the write model up to what was folded. UnavailableError if PostgreSQL cannot be reached."""
        for number in range(len(self._lanes)) if partitions is None else partitions:
            lane = self._lanes[number]
            try:
                await lane.partition.flush()
            except BasisMovedError:
                lane.doubt()

    async def close(self) -> None:
        """Wait for the commands that were accepted; each of them ends by its own deadline."""
        outcomes = [outcome for lane in self._lanes for outcome in lane.outcomes]
        if outcomes:
            await asyncio.wait(outcomes, timeout=2 * self._limits.deadline_seconds)
        for lane in self._lanes:
            await lane.close()

    async def state(self, stream: str) -> Any:
        """The stream as this process last saw it. Good for preparing a decision, not for taking one."""
        lane = self._lane_of(stream)
        entry = lane.entry(stream)
        if entry is not None:
            return entry.state
        done = await self._run(
            lane, stream, lambda draft: draft.state(stream), _READER, self._limits.deadline_seconds
        )
        return done.reply

    async def pin(self, stream: str) -> None:
        """Keep the stream's newest known state for `pinned_state`, also where the partition is halted.

        CorruptLogError if it is halted and nothing of it was ever read.
        """
        lane = self._lane_of(stream)
        if lane.partition.halted is not None:
            try:
                await lane.partition.load([stream])
            except BasisMovedError:
                lane.partition.require_running()
            entry = lane.require(stream)
            if entry.version == 0:
                lane.partition.require_running()
            self._pinned[stream] = entry.state
        else:
            self._pinned[stream] = await self.state(stream)

    def pinned_state(self, stream: str) -> Any:
        """As `state`, without waiting, for a stream that was pinned. CorruptLogError if it could not be."""
        lane = self._lane_of(stream)
        entry = lane.entry(stream)
        if entry is not None and entry.version > 0:
            self._pinned[stream] = entry.state
        if stream not in self._pinned:
            lane.partition.require_running()
        return self._pinned[stream]

    async def transact(
        self, stream: str, decide: Decide[R], origin: Origin, *, deadline: float = math.inf
    ) -> Done[R]:
        """Run `decide` on the partition of `stream` and store what it says as one commit.

        It ends by `deadline`, in the event loop's time, and by the writer's own bound, whichever comes first.

        `decide` must be free of effects: it runs again whenever somebody else came between. A caller that
        goes away does not stop a command that was accepted.
        """
        lane = self._lane_of(stream)
        if lane.partition.changed_streams > _MAX_UNSAVED:
            raise UnavailableError("the write model cannot be saved, and no more fits in memory")
        left = deadline - asyncio.get_running_loop().time()
        return await self._run(lane, stream, decide, origin, min(self._limits.deadline_seconds, left))

    async def _run(
        self, lane: Lane, stream: str, decide: Decide[R], origin: Origin, deadline_seconds: float | None
    ) -> Done[R]:
        deadline = None
        if deadline_seconds is not None:
            deadline = asyncio.get_running_loop().time() + deadline_seconds
        command = Command(stream, decide, origin, deadline)
        lane.submit(command)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(command.outcome)
        except TimeoutError:
            command.drop("the log did not answer in time")
            return command.outcome.result()

    def _lane_of(self, stream: str) -> Lane:
        return self._lanes[partition_of(stream, len(self._lanes))]


def _look(_: Draft) -> None:
    """Change nothing: the answer comes once the log was read to its end."""
