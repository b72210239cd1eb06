"""Argon2id in a bounded pool of threads, never on the event loop.

Defaults are OWASP's: 19456 KiB, two passes, one lane. The library releases the GIL, so as many threads as
cores fill the machine; they yield to everything else that runs there. Whoever would wait longer for a turn than
an answer may take is told at once: a queue of calls that are late in any case would serve nobody.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

T = TypeVar("T")

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1


_NICENESS = 5
_FIRST_GUESS_SECONDS = 0.03
_WEIGHT = 0.1
"""Of the newest hash in the mean time of a hash."""


class PasswordPoolFullError(Exception):
    """More passwords wait to be hashed than the queue holds, or than can be hashed in time."""


class PasswordPool:
    """`queue` passwords may wait beside those being hashed, and none for longer than `patience_seconds`."""

    def __init__(self, *, threads: int, queue: int, patience_seconds: float = 1.0) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID
        )
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix="argon2", initializer=_yield_to_others
        )
        self._threads = threads
        self._capacity = threads + queue
        self._patience_seconds = patience_seconds
        self._hash_seconds = _FIRST_GUESS_SECONDS
        self._busy = 0
        self._nobodys_hash = self._hasher.hash("a password that nobody has")

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def in_work(self) -> int:
        """Passwords that are hashed or wait for it."""
        return self._busy

    async def hash(self, password: str) -> str:
        """The encoded Argon2id hash with a fresh salt."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one that was hashed. The same work where there is none to compare."""
        matches = await self._run(partial(self._verify, stored or self._nobodys_hash), password)
        return matches and stored is not None

    async def _run(self, work: Callable[[str], T], password: str) -> T:
        if self._busy >= self._capacity or self._wait_seconds() > self._patience_seconds:
            raise PasswordPoolFullError
        latest = time.monotonic() + 1.5 * self._patience_seconds
        future = asyncio.get_running_loop().run_in_executor(self._executor, _timed, work, password, latest)
        self._busy += 1
        future.add_done_callback(self._done)
        return (await asyncio.shield(future))[0]

    def _wait_seconds(self) -> float:
        """How long one that came now would wait for its turn."""
        return self._busy // self._threads * self._hash_seconds

    def _done(self, future: "asyncio.Future[tuple[T, float]]") -> None:
        """A hash that was begun is finished even if nobody waits for it, and counts until then."""
        self._busy -= 1
        if not future.cancelled() and future.exception() is None:
            self._hash_seconds += _WEIGHT * (future.result()[1] - self._hash_seconds)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False


def _timed(work: Callable[[str], T], password: str, latest: float) -> tuple[T, float]:
    """In a thread of the pool: the result and the seconds that it took. Nothing is begun after `latest`."""
    began = time.monotonic()
    if began > latest:
        raise PasswordPoolFullError
    result = work(password)
    return result, time.monotonic() - began


def _yield_to_others() -> None:
    """Hash only when nothing else wants the core: event loops answer at once also while sign-ins storm in."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        with contextlib.suppress(OSError):  # a process that may not be polite hashes all the same
            os.setpriority(os.PRIO_PROCESS, me, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, me)))
