"""The port to the log: append without conditions, read in order. What counts is the chain's business."""

from collections.abc import Sequence
from typing import Protocol

from eventstore.commit import Record


class Log(Protocol):
    @property
    def partitions(self) -> int: ...

    async def append(self, partition: int, key: bytes, value: bytes) -> int:
        """The offset that the broker acknowledged. AppendUnknownError for every other outcome."""
        ...

    async def end(self, partition: int) -> int:
        """The offset that the next record will get. UnavailableError if the log cannot be asked."""
        ...

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        """Records from `offset` on, in order, at most a batch; none if nothing came within the wait."""
        ...
