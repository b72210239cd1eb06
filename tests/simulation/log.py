"""The log as one process sees it: a connection to a log in memory, under the weather.

Records that were sent arrive although their sender died, stood still or was told that they had failed.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence

from eventstore.commit import Record
from eventstore.errors import AppendUnknownError, UnavailableError
from eventstore.log import Log
from eventstore.memory_log import MemoryLog
from tests.simulation.wire import Sky, Wire, fail, settle

_POLL_SECONDS = 0.01
_BATCH = 500


class SimulatedLog(Log):
    """A partition's records keep the order in which they were sent, unless the weather says otherwise."""

    def __init__(self, log: MemoryLog, sky: Sky) -> None:
        self._log = log
        self._sky = sky
        self._wire = Wire(sky, UnavailableError)
        self._last_arrival: defaultdict[int, float] = defaultdict(float)
        self.cut_at = math.inf
        """When the sender's death reached the wire: what would arrive later is lost."""

    @property
    def partitions(self) -> int:
        return self._log.partitions

    async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
        sky, weather = self._sky, self._sky.weather
        loop = sky.loop
        if sky.has(weather.slow):
            await asyncio.sleep(sky.delay())
        acknowledged: asyncio.Future[int] = loop.create_future()
        if sky.has(weather.lost):
            error = AppendUnknownError("lost on the way")
            if sky.has(0.3):
                raise error
            sky.later(sky.delay(), fail, acknowledged, error)
        elif sky.has(weather.postponed):
            sky.later(sky.delay(), fail, acknowledged, AppendUnknownError("timed out"))
            sky.later(sky.delay() + sky.lateness(), self._log.store, partition, key, value)
        else:
            arrival = loop.time() + sky.delay()
            if not sky.has(weather.reordered):
                arrival = self._last_arrival[partition] = max(arrival, self._last_arrival[partition])
            sky.later(arrival - loop.time(), self._arrive, acknowledged, partition, key, value)
        return acknowledged

    def _arrive(self, acknowledged: "asyncio.Future[int]", partition: int, key: bytes, value: bytes) -> None:
        sky, weather = self._sky, self._sky.weather
        if sky.loop.time() > self.cut_at:
            return
        offset = self._log.store(partition, key, value)
        if sky.has(weather.doubled):
            sky.later(sky.lateness(), self._log.store, partition, key, value)
        if sky.has(weather.unacknowledged):
            sky.later(sky.delay(), fail, acknowledged, AppendUnknownError("the answer was lost"))
        else:
            sky.later(sky.delay(), settle, acknowledged, -1 if sky.has(weather.offsetless) else offset)

    async def end(self, partition: int, *, at_least: int = 0) -> int:  # noqa: ARG002  # no leader is deposed here
        return await self._wire.ask(lambda: len(self._log.records(partition)))

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        sky, loop = self._sky, self._sky.loop
        if sky.has(sky.weather.silent):
            await asyncio.sleep(sky.delay())
            return ()
        deadline = loop.time() + wait_seconds
        batch = sky.chance.choice((1, 3, _BATCH)) if sky.weather.delay_seconds else _BATCH
        while True:
            found = await self._wire.ask(lambda: self._log.records(partition)[offset : offset + batch])
            if found or loop.time() >= deadline:
                return found
            await asyncio.sleep(_POLL_SECONDS)
