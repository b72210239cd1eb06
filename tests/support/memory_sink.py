"""A projector's store in memory, which keeps its own laws: checkpoint and data together, or neither."""

from collections.abc import Mapping
from datetime import UTC, datetime

from events.account import SessionRevoked
from events.fact import Event
from eventstore.chain import Head
from eventstore.errors import UnavailableError
from projectors.follower import Batch
from projectors.keep_going import OutrunError


class MemorySink:
    name = "memory"

    def __init__(self, handles: frozenset[type[Event]] = frozenset({SessionRevoked})) -> None:
        self.handles = handles
        self.stored: dict[int, Head] = {}
        self.applied: list[Event] = []
        self.fresh: dict[int, datetime] = {}
        self._known: dict[int, Head] = {}
        self.refuses = False

    async def open(self, partition: int, log_id: str) -> Head:
        assert log_id
        self._known[partition] = self.stored.get(partition, Head())
        return self._known[partition]

    async def apply(self, partition: int, batch: Batch) -> None:
        await self.confirm(partition)
        if self.refuses:
            raise UnavailableError("the sink takes nothing now")
        self.applied.extend(fact.event for commit in batch.commits for fact in commit.facts)
        self.stored[partition] = self._known[partition] = batch.head

    async def set_aside(self, partition: int, batch: Batch) -> None:
        """It parks nothing."""
        await self.apply(partition, batch)

    async def confirm(self, partition: int) -> None:
        if self.stored.get(partition, Head()) != self._known[partition]:
            raise OutrunError

    async def ask_time(self) -> datetime:
        return datetime.now(UTC)

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        reached = {n for n, end in ends.items() if n in self.stored and self.stored[n].next_offset >= end}
        self.fresh.update(dict.fromkeys(reached, asked_at))
        return reached
