"""The write model and the key topic as one process sees them: the ones in memory, behind a wire."""

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from eventstore.errors import UnavailableError
from eventstore.key_index import KeyBatch, KeyRecord
from eventstore.snapshots import Checkpoint, Guarded, Snapshot, Snapshots
from tests.simulation.wire import Sky, Wire
from tests.support.memory_keys import KeyTopic, MemoryKeyStore

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that gives others turns but waits for nobody; here nobody gets one."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result


class SimulatedSnapshots:
    """Every statement takes effect at one moment, which its sender may not live to see."""

    def __init__(self, stored: Snapshots, sky: Sky) -> None:
        self._stored = stored
        self._wire = Wire(sky, UnavailableError)

    async def load(self, partition: int, streams: Sequence[str]) -> Guarded:
        return await self._wire.ask(lambda: at_once(self._stored.load(partition, streams)))

    async def save(
        self,
        partition: int,
        before: Checkpoint | None,
        after: Checkpoint,
        snapshots: Sequence[Snapshot],
    ) -> bool:
        return await self._wire.ask(lambda: at_once(self._stored.save(partition, before, after, snapshots)))


class SimulatedKeyStore:
    def __init__(self, topic: KeyTopic, sky: Sky) -> None:
        self._topic = topic
        self._store = MemoryKeyStore(topic)
        self._wire = Wire(sky, UnavailableError)

    async def put(self, record: KeyRecord) -> None:
        await self._wire.ask(lambda: at_once(self._store.put(record)))

    async def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        start = positions.get(0, 0)
        while await self._wire.ask(lambda: len(self._topic.records)) > start:
            records = tuple(enumerate(self._topic.records[start : start + 20], start))
            yield KeyBatch(partition=0, start=start, end=start + len(records), records=records)
            start += len(records)
