"""The port to the log: append without conditions, read in order. What counts is the chain's business."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from eventstore.commit import Record


class Log(Protocol):
    @property
    def partitions(self) -> int: ...

    async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
        """Hand a record over; a partition's records keep the order of these calls unless something fails.

        What comes back resolves to the offset that the broker acknowledged, or raises AppendUnknownError;
        so may the call itself.
        """
        ...

    async def append(self, partition: int, key: bytes, value: bytes) -> int:
        """Send, and wait for the acknowledgement."""
        return await (await self.send(partition, key, value))

    async def end(self, partition: int, *, at_least: int = 0) -> int:
        """The offset that the next record will get. UnavailableError if the log cannot be asked.

        `at_least` is what the caller knows it to have been: for a while an earlier end is not believed.
        """
        ...

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        """Records from `offset` on, in order, at most a batch; none if nothing came within the wait."""
        ...
