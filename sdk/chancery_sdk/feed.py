"""The port to the feed: partitions that are read by offset. What is an event, and which is new, others say."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from chancery_sdk.events import Record


class FeedUnavailableError(Exception):
    """The feed cannot be read now. Reading goes on later from the same place."""


class OffsetLostError(Exception):
    """The topic does not hold this offset any more."""


class Feed(Protocol):
    async def partitions(self) -> Sequence[int]: ...

    async def begin(self, partition: int) -> int:
        """The offset of the first record that is still there, or of the next one."""
        ...

    async def end(self, partition: int) -> int:
        """The offset that the next record will get."""
        ...

    async def offset_at(self, partition: int, time: datetime) -> int:
        """An offset with no record before it that was stored at `time` or later."""
        ...

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        """Records from `offset` on, in order, at most a batch; none if nothing came within the wait."""
        ...
