"""The port to the write model: folded streams as of a checkpoint, so that nobody folds the whole log again.

It is disposable. What it holds is used only together with the checkpoint that it was read with.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a partition was folded: the last commit that counts, its offset, and where to read on."""

    seq: int
    hash: str
    offset: int
    next_offset: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One folded stream. `sealed` holds the whole state, `state` only what is not personal.

    `expires_at` is when the stream can be forgotten with everything that it said, None for never.
    """

    stream: str
    version: int
    at: datetime
    state: bytes
    sealed: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """Streams, and the checkpoint that they are the state of. A stream that is not named does not exist there."""

    checkpoint: Checkpoint | None
    snapshots: Mapping[str, Snapshot]


class Snapshots(Protocol):
    """Every call may raise UnavailableError; after one from `save`, whether it was saved is unknown."""

    async def load(self, partition: int, streams: Sequence[str]) -> Guarded:
        """The streams and the checkpoint, read in one statement."""
        ...

    async def save(
        self,
        partition: int,
        before: Checkpoint | None,
        after: Checkpoint,
        snapshots: Sequence[Snapshot],
    ) -> bool:
        """Move the checkpoint from `before` to `after` with the snapshots, or do nothing and say False."""
        ...


class MemorySnapshots:
    """The write model of a simulation: others have a turn before and after every call takes effect."""

    def __init__(self) -> None:
        self._checkpoints: dict[int, Checkpoint] = {}
        self._snapshots: dict[int, dict[str, Snapshot]] = {}

    async def load(self, partition: int, streams: Sequence[str]) -> Guarded:
        await asyncio.sleep(0)
        stored = self._snapshots.get(partition, {})
        guarded = Guarded(
            checkpoint=self._checkpoints.get(partition),
            snapshots={stream: stored[stream] for stream in streams if stream in stored},
        )
        await asyncio.sleep(0)
        return guarded

    async def save(
        self,
        partition: int,
        before: Checkpoint | None,
        after: Checkpoint,
        snapshots: Sequence[Snapshot],
    ) -> bool:
        await asyncio.sleep(0)
        if self._checkpoints.get(partition) != before:
            return False
        self._checkpoints[partition] = after
        stored = self._snapshots.setdefault(partition, {})
        for snapshot in snapshots:
            stored[snapshot.stream] = snapshot
        expired = [s.stream for s in stored.values() if s.expires_at and s.expires_at <= after.last_at]
        for stream in expired:
            del stored[stream]
        await asyncio.sleep(0)
        return True
