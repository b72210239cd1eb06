"""The log in memory, with faults on demand: for simulations and for tests of whoever reads and writes."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Literal

from eventstore.commit import Record
from eventstore.errors import AppendUnknownError, UnavailableError
from eventstore.log import Log

Fault = Literal["lose", "lose-answer", "duplicate", "delay"]
"""What happens to an append: never arrives; arrives unanswered; arrives twice; arrives with the next one."""


class MemoryLog(Log):
    """`faults` are used up in order, one for each append; `is_down` makes every call fail."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._records: list[list[Record]] = [[] for _ in range(partitions)]
        self._delayed: list[list[tuple[bytes, bytes]]] = [[] for _ in range(partitions)]
        self._grown = asyncio.Condition()
        self.faults: deque[Fault | None] = deque()
        self.is_down = False

    @property
    def partitions(self) -> int:
        return self._partitions

    async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
        acknowledged = asyncio.get_running_loop().create_future()
        try:
            offset = await self._arrive(partition, key, value)
            acknowledged.get_loop().call_soon(_settle, acknowledged, offset)
        except AppendUnknownError as error:
            acknowledged.set_exception(error)
        return acknowledged

    async def _arrive(self, partition: int, key: bytes, value: bytes) -> int:
        await asyncio.sleep(0)
        if self.is_down:
            raise AppendUnknownError("the log is down")
        fault = self.faults.popleft() if self.faults else None
        if fault == "lose":
            raise AppendUnknownError("lost on the way")
        if fault == "delay":
            self._delayed[partition].append((key, value))
            raise AppendUnknownError("delayed on the way")
        offset = self.store(partition, key, value)
        for late_key, late_value in self._delayed[partition]:
            self.store(partition, late_key, late_value)
        self._delayed[partition].clear()
        if fault == "duplicate":
            offset = self.store(partition, key, value)
        async with self._grown:
            self._grown.notify_all()
        if fault == "lose-answer":
            raise AppendUnknownError("the answer was lost")
        return offset

    def deliver_delayed(self, partition: int) -> None:
        """Let the delayed appends arrive now, before anything that is sent later."""
        for key, value in self._delayed[partition]:
            self.store(partition, key, value)
        self._delayed[partition].clear()

    async def end(self, partition: int, *, at_least: int = 0) -> int:  # noqa: ARG002  # no leader is deposed here
        await asyncio.sleep(0)
        self._require_up()
        return len(self._records[partition])

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        self._require_up()
        records = self._records[partition]
        try:
            async with asyncio.timeout(wait_seconds), self._grown:
                await self._grown.wait_for(lambda: len(records) > offset)
        except TimeoutError:
            return ()
        return tuple(records[offset : offset + 500])

    def records(self, partition: int) -> Sequence[Record]:
        """Everything that is stored now."""
        return self._records[partition]

    def store(self, partition: int, key: bytes | None, value: bytes | None) -> int:
        """Let a record arrive at once, whatever faults are set; its offset."""
        records = self._records[partition]
        records.append(Record(partition=partition, offset=len(records), key=key, value=value))
        return len(records) - 1

    def _require_up(self) -> None:
        if self.is_down:
            raise UnavailableError("the log is down")


def _settle(acknowledged: "asyncio.Future[int]", offset: int) -> None:
    if not acknowledged.done():
        acknowledged.set_result(offset)
