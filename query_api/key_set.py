"""The public signing keys, as they were last read, without those that retired.

Law: a key signs only `lead` after its rotation was decided. Tables that were complete less than `lead` ago
therefore have every key that signs now, and a token by any other was not signed here. Who keeps the keys for no more
than `cache_seconds` always has those that sign.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

from readmodels.checkpoints import completeness, is_fresh
from readmodels.signing_keys import SigningKey, all_signing_keys
from runtime.clock import Clock
from runtime.postgres import Postgres
from runtime.signing import VerificationKey, verification_key

_LOOK_AGAIN_SECONDS = 0.1
"""However many tokens name unknown keys, the tables are asked no more often than this."""


class KeySet:
    def __init__(
        self, postgres: Postgres, clock: Clock, *, partitions: int, lead: timedelta, commit: timedelta
    ) -> None:
        """`commit`: how long after its decision a rotation may still reach the log."""
        self._postgres = postgres
        self._clock = clock
        self._partitions = partitions
        self._known: dict[str, SigningKey] = {}
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._is_complete = False
        self._lead = lead
        self._announced_seconds = (lead - commit).total_seconds()
        self._complete_at = float("-inf")
        self.keys: tuple[SigningKey, ...] = ()
        self.by_kid: Mapping[str, VerificationKey] = {}

    async def refresh(self) -> None:
        """A key leaves only by its own time: a table that has fewer, or knows less, is being built again."""
        self._take(())
        asked_at = time.monotonic()
        age = await completeness(self._postgres, "signing_keys", partitions=self._partitions)
        self._take(await all_signing_keys(self._postgres))
        if age is not None:
            self._complete_at = max(self._complete_at, asked_at - age.total_seconds())

    async def has_or_finds(self, kid: str) -> bool:
        """Whether the key is one of ours that has not retired, by the tables as they are now."""
        async with self._looking:
            if kid not in self.by_kid and time.monotonic() >= self._looked_at + _LOOK_AGAIN_SECONDS:
                self._is_complete = await is_fresh(
                    self._postgres, ("signing_keys",), partitions=self._partitions, stale=self._lead
                )
                await self.refresh()
                self._looked_at = time.monotonic()
        return kid in self.by_kid

    @property
    def is_complete(self) -> bool:
        """Whether the last look found every key that could have signed by then."""
        return self._is_complete

    @property
    def cache_seconds(self) -> int:
        """A key that may be missing here does not sign before this is over; 0 where nothing is sure."""
        age_seconds = time.monotonic() - self._complete_at
        return int(max(0.0, self._announced_seconds - age_seconds))

    def _take(self, rows: tuple[SigningKey, ...]) -> None:
        known = {**self._known}
        for row in rows:
            if row.kid not in known or row.retires_at is not None:
                known[row.kid] = row
        at = self._clock()
        kept = {kid: key for kid, key in known.items() if key.retires_at is None or at < key.retires_at}
        if kept != self._known:
            self._known = kept
            self.keys = tuple(sorted(kept.values(), key=lambda key: (key.created_at, key.kid)))
            self.by_kid = {key.kid: verification_key(key.kid, key.alg, key.public_jwk) for key in self.keys}
