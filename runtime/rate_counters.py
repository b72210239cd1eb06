"""Counts what may happen only so often: for all processes together in Valkey, else in this process, more strictly.

The windows are those of the library `limits` (a sliding window of two counters): one script decides and counts, so that
no number of calls at once gets more than the limit. Valkey is asked once, and has 150 ms. While it is silent for less
than a second nobody knows how much is left, and calls are told so; then, or if it is gone, this process counts by itself.
One call at a time finds out whether Valkey is back.
"""

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import CollectorRegistry

from runtime.logs import get_logger
from runtime.metrics import RATE_LIMITED, RATE_LIMITS_ALONE
from runtime.redis import MOST_CONNECTIONS, Valkey, ValkeyUnavailableError, translated

CONNECTION_SECONDS = 0.5
"""What the driver allows itself. The deadline is ours, because only we know whether Valkey was late or this loop."""
SLICE_SECONDS = 0.03
SLICES = 5
"""Together Valkey's 150 ms. A loop that is late itself ends a slice late, and looks for the answer before the next."""
AVOID_SECONDS = 1.0
"""So long a Valkey that is gone is not asked again."""
DOUBT_SECONDS = 0.8
"""So long one that is silent may only be slow. It is asked again four times as often."""
PORTIONS = 1000
"""A limit of many is not taken one by one, but in so many portions, each of which is one round trip."""
HELD_SHARE = 0.1
"""Of the limit's seconds, after which the rest of a portion is forgotten. It was counted, so nothing is exceeded."""
MOST_HELD = 10_000
LOCAL_KEYS = 1024
"""Counters of a process of its own for each limit. Keys that fall together share one, which bounds memory."""
_PREFIX = "chancery:v1:limit"
_log = get_logger("rate_counters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`count` within `seconds`; 0 means no limit. `name` tells limits apart, in the store and to people."""

    name: str
    count: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """The limit as it was applied, and when to try again."""

    limit: Limit
    wait_seconds: int


class LimitUnknownError(Exception):
    """Whether this was one too many cannot be told in time. It may have been counted."""


class _SilentError(ValkeyUnavailableError):
    """No answer in time: Valkey may be slow, and count for others meanwhile."""


@dataclass(slots=True)
class _Portion:
    left: int
    until: float


class RateCounters:
    """`divisor` makes the limits of a process that counts alone: each is divided by it."""

    def __init__(self, valkey: Valkey, registry: CollectorRegistry, *, divisor: int) -> None:
        storage: Any = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=_PREFIX,
            connection_pool=valkey.pool,  # type: ignore[arg-type]  # the library's note of it is too narrow
        )
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)
        self._divisor = divisor
        self._salt = secrets.token_bytes(16)
        self._held: dict[tuple[str, str], _Portion] = {}
        self._avoid_until = 0.0
        self._answered_at = 0.0
        self._silent_since: float | None = None
        self._is_alone = False
        self._limited = RATE_LIMITED.made(registry)
        self._alone = RATE_LIMITS_ALONE.made(registry)

    async def hit(self, limit: Limit, key: str) -> Exceeded | None:
        """Counts once more, and says so if that is too often; what was refused is not counted. LimitUnknownError."""
        if limit.count == 0 or self._takes_held(limit, key):
            return None
        try:
            exceeded = await self._hit_shared(limit, key)
        except ValkeyUnavailableError as error:
            if not self._is_alone:
                raise LimitUnknownError(str(error)) from None
            exceeded = await self._hit_alone(limit, key)
        if exceeded is not None:
            self._limited.labels(limit.name).inc()
        return exceeded

    def _takes_held(self, limit: Limit, key: str) -> bool:
        held = self._held.get((limit.name, key))
        if held is None or held.left == 0 or held.until < time.monotonic():
            return False
        held.left -= 1
        return True

    async def _hit_shared(self, limit: Limit, key: str) -> Exceeded | None:
        """ValkeyUnavailableError if it does not answer now, or is not asked because it did not a moment ago.

        Whoever waits for a place has not asked yet: that Valkey is busy with others is no reason to doubt it.
        """
        async with self._places:
            if self._takes_held(limit, key):
                return None
            began = time.monotonic()
            if began < self._avoid_until:
                raise ValkeyUnavailableError("Valkey: avoided")
            if self._is_alone or self._silent_since is not None:
                self._avoid_until = began + AVOID_SECONDS
            portion = max(1, limit.count // PORTIONS)
            try:
                with translated():
                    exceeded = await _in_time(_hit(self._shared, limit, key, portion))
            except ValkeyUnavailableError as error:
                self._note_failure(error, began)
                raise
            self._answered_at, self._silent_since, self._avoid_until = time.monotonic(), None, 0.0
            self._note(None)
            if exceeded is None and portion > 1:
                self._hold(limit, key, portion - 1)
            return exceeded

    async def _hit_alone(self, limit: Limit, key: str) -> Exceeded | None:
        stricter = Limit(name=limit.name, count=max(1, limit.count // self._divisor), seconds=limit.seconds)
        digest = hashlib.blake2b(key.encode(), key=self._salt, digest_size=8).digest()
        return await _hit(self._local, stricter, str(int.from_bytes(digest, "big") % LOCAL_KEYS), 1)

    def _hold(self, limit: Limit, key: str, count: int) -> None:
        """Several calls at once may bring a portion each."""
        now = time.monotonic()
        if len(self._held) >= MOST_HELD:
            self._held.clear()
        before = self._held.get((limit.name, key))
        left = before.left if before is not None and before.until >= now else 0
        self._held[limit.name, key] = _Portion(left + count, now + limit.seconds * HELD_SHARE)

    def _note_failure(self, error: ValkeyUnavailableError, began: float) -> None:
        """If others were answered meanwhile, it is only this call that does not know.

        Gone is a Valkey that leaves a call unanswered which began well after another was: however late this loop is,
        calls that wait together prove nothing more than one.
        """
        now = time.monotonic()
        if isinstance(error, _SilentError):
            if self._answered_at > began:
                return
            if self._silent_since is None:
                self._silent_since = now
            if not self._is_alone and began - self._silent_since < DOUBT_SECONDS:
                self._avoid_until = now + DOUBT_SECONDS / 4
                return
        self._avoid_until = now + AVOID_SECONDS
        self._note(error)

    def _note(self, error: ValkeyUnavailableError | None) -> None:
        """Once for each change."""
        if self._is_alone == (error is not None):
            return
        self._is_alone = error is not None
        self._alone.set(self._is_alone)
        if error is None:
            _log.info("rate limits are counted for all processes together again")
        else:
            _log.warning("rate limits are counted by this process alone, more strictly", reason=str(error))


async def _hit(
    windows: SlidingWindowCounterRateLimiter, limit: Limit, key: str, cost: int
) -> Exceeded | None:
    item = RateLimitItemPerSecond(limit.count, limit.seconds, limit.name)
    if await windows.hit(item, key, cost=cost):
        return None
    stats = await windows.get_window_stats(item, key)
    wait = min(stats.reset_time - time.time(), limit.seconds)
    return Exceeded(limit=limit, wait_seconds=max(1, math.ceil(wait)))


async def _in_time(asking: Coroutine[Any, Any, Exceeded | None]) -> Exceeded | None:
    """A connection whose answer nobody waits for any more is closed by the driver, never used again half-read."""
    task = asyncio.create_task(asking)
    try:
        for _ in range(SLICES):
            done, _ = await asyncio.wait({task}, timeout=SLICE_SECONDS)
            if done:
                return task.result()
        raise _SilentError("Valkey: no answer in time")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=SLICE_SECONDS)
