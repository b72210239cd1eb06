"""PostgreSQL as a sink: all projectors of a partition in one transaction, each with its own checkpoint.

Partitions that have little to apply at the same time share it.

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
from projectors.together import Together
from readmodels.checkpoints import (
    Checkpoint,
    advance_checkpoints,
    begin_checkpoints,
    mark_fresh,
    read_checkpoints,
    server_now,
)
from readmodels.parked_facts import streams_parked
from readmodels.tables import create_tables
from runtime.postgres import Connection, Postgres

MOST_TOGETHER = 100
"""Commits of a batch that shares a transaction with others."""

Apply = Callable[[Connection, Projector, Sequence[Placed], set[str]], Awaitable[None]]
_ByType = dict[type[Event], list[Placed]]


class Tables:
    name = "tables"

    def __init__(self, postgres: Postgres, projectors: Sequence[Projector], metrics: Metrics) -> None:
        self._postgres = postgres
        self._projectors = tuple(projectors)
        self._metrics = metrics
        self._known: dict[int, dict[str, Checkpoint]] = {}
        self._unparked: set[int] = set()
        """Open partitions that went on well and of which nothing is parked. Only `set_aside` parks the first of a stream."""
        self._together = Together(self._advance_together)
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
        """A small batch goes with those of other partitions; a large one is worth a connection of its own.

        So is the first one after a failure: whatever holds up this partition must not hold up the others.
        """
        if len(batch.commits) <= MOST_TOGETHER and partition in self._unparked:
            await self._together.join(partition, batch)
        else:
            await self._advance({partition: batch}, apply_unparked)

    async def set_aside(self, partition: int, batch: Batch) -> None:
        try:
            await self._advance({partition: batch}, apply_or_park)
        finally:
            self._unparked.discard(partition)

    async def _advance_together(self, batches: Mapping[int, Batch]) -> None:
        await self._advance(batches, apply_unparked)

    async def _advance(self, batches: Mapping[int, Batch], apply: Apply) -> None:
        projectors = self._projectors  # others may be wanted before this is over
        names = [projector.name for projector in projectors]
        known = {number: self._checkpoints(number) for number in batches}
        reached = {number: self._checkpoint(batch.head) for number, batch in batches.items()}
        counts = {}
        async with self._postgres.transaction() as tx:
            if await advance_checkpoints(tx, names, reached) != known:
                raise OutrunError
            in_doubt = batches.keys() - self._unparked
            parked = await streams_parked(tx, names, in_doubt) if in_doubt else {}
            for projector, facts in facts_for(projectors, known, batches):
                if facts:
                    await apply(tx, projector, facts, parked.get(projector.name, set()))
                counts[projector.name] = len(facts)
        for number, own in known.items():
            self._known[number] = {name: _later(one, reached[number]) for name, one in own.items()}
        if not any(parked.values()):
            self._unparked |= in_doubt
        for name, count in counts.items():
            self._metrics.events.labels(name).inc(count)

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


def facts_for(
    projectors: Sequence[Projector],
    known: Mapping[int, Mapping[str, Checkpoint]],
    batches: Mapping[int, Batch],
) -> Iterator[tuple[Projector, Sequence[Placed]]]:
    """What each of them has not applied. Those that are equally far look at a batch once."""
    by_type: dict[tuple[int, int], _ByType] = {}
    for projector in projectors:
        found: list[list[Placed]] = []
        for number, batch in batches.items():
            own = known[number][projector.name]
            if (number, own.seq) not in by_type:
                by_type[number, own.seq] = _by_type(c for c in batch.commits if c.head.seq > own.seq)
            _require_same_history(projector, own, number, batch)
            there = by_type[number, own.seq]
            found += [there[cls] for cls in projector.handles & there.keys()]
        yield projector, found[0] if len(found) == 1 else sorted(chain.from_iterable(found), key=_order)


def _by_type(commits: Iterable[OpenedCommit]) -> _ByType:
    found: _ByType = {}
    for commit in commits:
        offset = commit.head.next_offset - 1
        for fact in commit.facts:
            found.setdefault(type(fact.event), []).append(Placed(fact, offset))
    return found


def _later(own: Checkpoint, reached: Checkpoint) -> Checkpoint:
    return reached if own.next_offset < reached.next_offset else own


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
