"""The feed and a group in memory, for tests of your own subscriber. They behave as those on Kafka do, faults included."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chancery_sdk.events import Record
from chancery_sdk.feed import Feed, FeedUnavailableError, OffsetLostError
from chancery_sdk.sharing import Hands, Sharing

SOURCE = "urn:chancery:log:00000000-0000-4000-8000-000000000000"


class MemoryFeed(Feed):
    """Say what happened with `tell`. `is_down` makes every call fail."""

    def __init__(self, partitions: int = 1) -> None:
        self._records: dict[int, list[tuple[datetime, Record]]] = {n: [] for n in range(partitions)}
        self._begin: dict[int, int] = defaultdict(int)
        self._told: dict[int, int] = defaultdict(int)
        self._grown = asyncio.Event()
        self.is_down = False

    def tell(
        self, event_type: str, data: Mapping[str, Any], *, partition: int = 0, time: datetime | None = None
    ) -> Record:
        """The next event of a partition, e.g. `tell("chancery.account.verified.v1", {"account_id": "…"})`."""
        self._told[partition] += 1
        told, at = self._told[partition], time or datetime.now(UTC)
        subject = str(data.get("account_id", "somebody"))
        headers = {
            "ce_specversion": "1.0",
            "ce_id": f"{partition}:{told}:0",
            "ce_source": SOURCE,
            "ce_type": event_type,
            "ce_subject": subject,
            "ce_time": at.isoformat(),
            "ce_position": f"{partition}:{told}",
            "ce_partitionkey": subject,
            "ce_sequence": f"{told:020}",
            "content-type": "application/json",
        }
        return self.store(partition, json.dumps(data).encode(), headers, at)

    def store(
        self, partition: int, value: bytes | None, headers: Mapping[str, str], time: datetime | None = None
    ) -> Record:
        """A record as it is, also one that is no event."""
        record = Record(
            partition=partition,
            offset=self._begin[partition] + len(self._records[partition]),
            value=value,
            headers=tuple((name, text.encode()) for name, text in headers.items()),
        )
        self._records[partition].append((time or datetime.now(UTC), record))
        self._grown.set()
        return record

    def repeat(self, record: Record) -> Record:
        """As a relay does that did not learn whether a record was stored."""
        headers = {name: value.decode() for name, value in record.headers}
        return self.store(record.partition, record.value, headers)

    def skip(self, *, partition: int = 0) -> None:
        """Leave out the number of an event, which must never happen."""
        self._told[partition] += 1

    def forget(self, partition: int, before: int) -> None:
        """As retention does with records before an offset."""
        kept = before - self._begin[partition]
        del self._records[partition][:kept]
        self._begin[partition] = before

    async def partitions(self) -> Sequence[int]:
        self._require_up()
        return sorted(self._records)

    async def begin(self, partition: int) -> int:
        self._require_up()
        return self._begin[partition]

    async def end(self, partition: int) -> int:
        self._require_up()
        return self._begin[partition] + len(self._records[partition])

    async def offset_at(self, partition: int, time: datetime) -> int:
        self._require_up()
        later = (record.offset for at, record in self._records[partition] if at >= time)
        return next(later, await self.end(partition))

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        self._require_up()
        if offset < self._begin[partition]:
            raise OffsetLostError(f"offset {offset} of partition {partition} is gone")
        if offset > await self.end(partition):
            raise FeedUnavailableError("this offset is not known yet")
        if offset == await self.end(partition):
            self._grown.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._grown.wait()
            except TimeoutError:
                return ()
        return [record for _, record in self._records[partition][offset - self._begin[partition] :]][:500]

    def _require_up(self) -> None:
        if self.is_down:
            raise FeedUnavailableError("the feed is down")


class MemoryGroup(Sharing):
    """Shares the partitions among the subscribers of one process that are given this same group."""

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = range(partitions)
        self._held: dict[Hands, set[int]] = {}
        self._sharing = asyncio.Lock()

    async def take_part(self, hands: Hands) -> None:
        self._held[hands] = set()
        try:
            await self._share()
            await asyncio.Event().wait()
        finally:
            held = self._held.pop(hands)
            await hands.leave(held)
            await self._share()

    async def _share(self) -> None:
        """Everybody leaves before anybody takes. Who comes or goes meanwhile has it done again."""
        async with self._sharing:
            for hands in list(self._held):
                if hands in self._held:
                    await hands.leave(self._held[hands])
                    if hands in self._held:
                        self._held[hands] = set()
            members = list(self._held)
            for number, hands in enumerate(members):
                if hands in self._held:
                    self._held[hands] = set(self._partitions[number :: len(members)])
                    await hands.take(self._held[hands])
