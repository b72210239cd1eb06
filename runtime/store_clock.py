"""The database's time, carried on by this machine's monotonic clock.

Processes of one platform must agree on what has expired. A machine whose clock was set wrong agrees all the same:
its own wall clock counts only until the database was asked for the first time.
"""

import asyncio
import time
from datetime import UTC, datetime

from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError

ANCHOR_SECONDS = 5.0
MOST_ROUND_TRIP_SECONDS = 0.25
"""An answer that took longer says too little about now."""


class StoreClock:
    """A `Clock`. Good to half a round trip to the database."""

    def __init__(self) -> None:
        self._ahead_of_monotonic = time.time() - time.monotonic()

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._ahead_of_monotonic + time.monotonic(), UTC)

    async def run(self, postgres: Postgres) -> None:
        """Until cancelled: ask again and again. Without an answer the time goes on from the last one."""
        while True:
            await self.anchor(postgres)
            await asyncio.sleep(ANCHOR_SECONDS)

    async def anchor(self, postgres: Postgres) -> None:
        asked = time.monotonic()
        try:
            row = await postgres.fetch_one("select extract(epoch from clock_timestamp())::float8 as now")
        except (PostgresUnavailableError, PostgresRejectedError):
            return
        answered = time.monotonic()
        if row is not None and answered - asked <= MOST_ROUND_TRIP_SECONDS:
            self._ahead_of_monotonic = row["now"] - (asked + answered) / 2
