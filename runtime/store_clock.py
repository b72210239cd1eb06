"""The database's time, carried on by this machine's monotonic clock.

Processes of one platform must agree on what has expired. A machine whose clock was set wrong agrees all the same:
its own wall clock counts only until the database was asked for the first time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError

ANCHOR_SECONDS = 5.0
RETRY_SECONDS = 0.1
"""So soon it is asked again while it never was answered well."""
MOST_ROUND_TRIP_SECONDS = 0.25
"""An answer that took longer says too little about now. Before the first good one, each try may take twice as long as the last."""
_FIRST_TRIES = 5


class StoreClock:
    """A `Clock`. Good to half a round trip to the database."""

    def __init__(self) -> None:
        self._ahead_of_monotonic = time.time() - time.monotonic()
        self._patience_seconds = MOST_ROUND_TRIP_SECONDS
        self.is_anchored = False
        """Whether this is the database's time, and no longer only this machine's."""

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._ahead_of_monotonic + time.monotonic(), UTC)

    async def run(self, postgres: Postgres) -> None:
        """Until cancelled: ask again and again. Without an answer the time goes on from the last one."""
        while True:
            await self.anchor(postgres)
            await asyncio.sleep(ANCHOR_SECONDS if self.is_anchored else RETRY_SECONDS)

    async def first_anchor(self, postgres: Postgres) -> None:
        """Some tries, the first of which may have a connection to make."""
        for _ in range(_FIRST_TRIES):
            await self.anchor(postgres)
            if self.is_anchored:
                return

    async def anchor(self, postgres: Postgres) -> None:
        asked = time.monotonic()
        try:
            now = await postgres_now(postgres)
        except (PostgresUnavailableError, PostgresRejectedError):
            return
        answered = time.monotonic()
        if answered - asked <= self._patience_seconds:
            self._ahead_of_monotonic = now - (asked + answered) / 2
            self._patience_seconds, self.is_anchored = MOST_ROUND_TRIP_SECONDS, True
        elif not self.is_anchored:
            self._patience_seconds *= 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """How far a store's clock is ahead of this machine's, and how much of that cannot be told from the way there."""

    seconds: float
    unsure_seconds: float


async def postgres_now(postgres: Postgres) -> float:
    """Seconds since the epoch, by the server's clock."""
    row = await postgres.fetch_one("select extract(epoch from clock_timestamp())::float8 as now")
    assert row is not None
    return float(row["now"])


async def offset_of(ask: Callable[[], Awaitable[float]]) -> Offset:
    """Asks twice, because the first time there may be a connection to make, and believes the quicker answer."""
    answers = [await _offset(ask) for _ in range(2)]
    return min(answers, key=lambda one: one.unsure_seconds)


async def _offset(ask: Callable[[], Awaitable[float]]) -> Offset:
    asked_at, began = time.time(), time.monotonic()
    theirs = await ask()
    half = (time.monotonic() - began) / 2
    return Offset(seconds=theirs - (asked_at + half), unsure_seconds=half)
