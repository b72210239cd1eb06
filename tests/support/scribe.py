"""Writes facts straight into a log, sealed and chained as a writer would, without any decision."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from events.fact import Event
from events.streams import partition_of
from eventstore.chain import Head
from eventstore.commit import Actor, Commit, Position, encode, hash_record
from eventstore.keyring import Keyring
from eventstore.log import Log
from tests.support.memory_keys import sealed_events


class Scribe:
    """The only writer of a log that holds nothing but its geneses yet."""

    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._heads: dict[int, Head] = {}
        self._versions: Counter[str] = Counter()

    async def write(self, stream: str, *events: Event, at: datetime | None = None) -> Position:
        """One commit with these events of one stream."""
        return await self.write_all([(stream, event) for event in events], at=at)

    async def write_all(self, facts: Sequence[tuple[str, Event]], at: datetime | None = None) -> Position:
        """One commit; its partition is that of the first stream."""
        partition = partition_of(facts[0][0], self._log.partitions)
        head = await self._head(partition)
        numbered = []
        for stream, event in facts:
            self._versions[stream] += 1
            numbered.append((stream, self._versions[stream], event))
        moment = at or datetime.now(UTC)
        commit = Commit(
            v=1,
            seq=head.seq + 1,
            prev=head.hash,
            commit=f"{partition}-{head.seq + 1}",
            at=moment,
            actor=Actor(kind="system"),
            trace="",
            events=await sealed_events(self._keyring, numbered, moment),
        )
        return await self.append(partition, facts[0][0].encode(), encode(commit))

    async def append(self, partition: int, key: bytes, value: bytes) -> Position:
        """A record as it is, taken to extend the chain."""
        head = await self._head(partition)
        offset = await self._log.append(partition, key, value)
        seq = head.seq + 1
        self._heads[partition] = Head(seq=seq, hash=hash_record(key, value), next_offset=offset + 1)
        return Position(partition=partition, seq=seq)

    async def head(self, partition: int) -> Head:
        return await self._head(partition)

    async def _head(self, partition: int) -> Head:
        if partition not in self._heads:
            records = await self._log.read(partition, 0, wait_seconds=5)
            record = records[0]
            assert record.key is not None
            assert record.value is not None
            self._heads[partition] = Head(
                seq=0, hash=hash_record(record.key, record.value), next_offset=record.offset + 1
            )
        return self._heads[partition]
