"""PostgreSQL as a sink: all projectors of a partition in one transaction, each with its own checkpoint.

A projector that is ahead of the others (a new one is being built) passes over what it has applied already.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

from events.fact import Event
from eventstore.chain import Head
from eventstore.errors import CorruptLogError, UnavailableError
from projectors.follower import Batch, OpenedCommit
from projectors.keep_going import OutrunError
from projectors.metrics import Metrics
from projectors.parking import Placed, apply_or_park, apply_unparked
from projectors.projector import Projector
from readmodels.checkpoints import (
    Checkpoint,
    advance_checkpoints,
    begin_checkpoints,
    lock_checkpoints,
    mark_fresh,
    read_checkpoints,
    server_now,
)
from readmodels.parked_facts import streams_parked
from readmodels.tables import create_tables
from runtime.postgres import Connection, Postgres

Apply = Callable[[Connection, Projector, int, Sequence[Placed], set[str]], Awaitable[None]]


class Tables:
    name = "tables"

    def __init__(self, postgres: Postgres, projectors: Sequence[Projector], metrics: Metrics) -> None:
        self._postgres = postgres
        self._projectors = tuple(projectors)
        self._metrics = metrics
        self._known: dict[int, dict[str, Checkpoint]] = {}
        self._unparked: set[int] = set()
        """Partitions of which nothing was parked at the known checkpoints: only a step beyond them can park."""
        self._log_id = ""

    @property
    def handles(self) -> frozenset[type[Event]]:
        return frozenset().union(*(projector.handles for projector in self._projectors))

    @property
    def names(self) -> list[str]:
        return [projector.name for projector in self._projectors]

    def build(self, projectors: Sequence[Projector]) -> None:
        """Build these from now on: each partition takes them up when it next looks, from the last of them on."""
        self._projectors = tuple(projectors)

    async def open(self, partition: int, log_id: str) -> Head:
        if not self._projectors:
            raise UnavailableError("no read model is known yet that is to be kept up here")
        await create_tables(self._postgres)
        async with self._postgres.connection() as connection:
            stored = await begin_checkpoints(connection, self.names, partition, log_id)
        for checkpoint in stored.values():
            require_same_log(partition, checkpoint, log_id)
        self._log_id = log_id
        self._known[partition] = stored
        self._unparked.discard(partition)
        lowest = min(stored.values(), key=lambda checkpoint: checkpoint.seq)
        return Head(seq=lowest.seq, hash=lowest.hash, next_offset=lowest.next_offset)

    async def apply(self, partition: int, batch: Batch) -> None:
        await self._advance(partition, batch, apply_unparked)

    async def set_aside(self, partition: int, batch: Batch) -> None:
        await self._advance(partition, batch, apply_or_park)

    async def _advance(self, partition: int, batch: Batch, apply: Apply) -> None:
        known = self._checkpoints(partition)
        reached = self._checkpoint(batch.head)
        async with self._postgres.transaction() as tx:
            if await lock_checkpoints(tx, list(known), partition) != known:
                raise OutrunError
            parked = await self._streams_parked(tx, known, partition)
            behind = [p for p in self._projectors if known[p.name].next_offset < reached.next_offset]
            counts = {}
            for projector, facts in self._facts_for(behind, partition, batch):
                if facts:
                    await apply(tx, projector, partition, facts, parked[projector.name])
                counts[projector.name] = len(facts)
            await advance_checkpoints(tx, list(counts), partition, reached)
        self._known[partition] = {**known, **dict.fromkeys(counts, reached)}
        if not any(parked.values()) and apply is apply_unparked:
            self._unparked.add(partition)
        else:
            self._unparked.discard(partition)
        for name, count in counts.items():
            self._metrics.events.labels(name).inc(count)

    async def _streams_parked(
        self, tx: Connection, names: Iterable[str], partition: int
    ) -> Mapping[str, set[str]]:
        if partition in self._unparked:
            return {name: set() for name in names}
        return await streams_parked(tx, list(names), partition)

    async def confirm(self, partition: int) -> None:
        known = self._checkpoints(partition)
        async with self._postgres.connection() as connection:
            stored = await read_checkpoints(connection, list(known), partition)
        if stored != known:
            raise OutrunError

    async def ask_time(self) -> datetime:
        return await server_now(self._postgres)

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        if not self._known:
            return set()
        return await mark_fresh(self._postgres, self.names, self._log_id, ends, asked_at)

    def _checkpoints(self, partition: int) -> dict[str, Checkpoint]:
        """Those that this partition was opened with. OutrunError if others are to be built now."""
        known = self._known[partition]
        if known.keys() != set(self.names):
            raise OutrunError
        return known

    def _checkpoint(self, head: Head) -> Checkpoint:
        return Checkpoint(log_id=self._log_id, seq=head.seq, hash=head.hash, next_offset=head.next_offset)

    def _facts_for(
        self, projectors: Sequence[Projector], partition: int, batch: Batch
    ) -> Iterator[tuple[Projector, Sequence[Placed]]]:
        """What each of them has not applied. Those that are equally far look at the batch once."""
        known = self._known[partition]
        by_type: dict[int, dict[type[Event], list[Placed]]] = {}
        for projector in projectors:
            own = known[projector.name]
            if own.seq not in by_type:
                by_type[own.seq] = _by_type(commit for commit in batch.commits if commit.head.seq > own.seq)
            _require_same_history(projector, own, partition, batch)
            found = [by_type[own.seq][cls] for cls in projector.handles & by_type[own.seq].keys()]
            yield projector, found[0] if len(found) == 1 else sorted(chain.from_iterable(found), key=_order)


def _by_type(commits: Iterable[OpenedCommit]) -> dict[type[Event], list[Placed]]:
    found: dict[type[Event], list[Placed]] = {}
    for commit in commits:
        offset = commit.head.next_offset - 1
        for fact in commit.facts:
            found.setdefault(type(fact.event), []).append(Placed(fact, offset))
    return found


def _order(placed: Placed) -> tuple[int, int]:
    return placed.offset, placed.fact.number


def _require_same_history(projector: Projector, own: Checkpoint, partition: int, batch: Batch) -> None:
    for commit in batch.commits if batch.commits and batch.commits[0].head.seq <= own.seq else ():
        if commit.head.seq == own.seq and commit.head.hash != own.hash:
            reason = f"{projector.name} was built from another history of commit {own.seq}"
            raise CorruptLogError(partition, commit.head.next_offset - 1, reason)


def require_same_log(partition: int, checkpoint: Checkpoint, log_id: str) -> None:
    """Tables are never mixed from two logs."""
    if checkpoint.log_id != log_id:
        reason = (
            f"PostgreSQL holds read models of log {checkpoint.log_id}, and this is log {log_id}; "
            "point to another database, or drop the schema chancery, and no other, to have them built anew"
        )
        raise CorruptLogError(partition, 0, reason)
