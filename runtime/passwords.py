"""Argon2id in a bounded pool of threads, never on the event loop.

Defaults are OWASP's: 19456 KiB, two passes, one lane. The library releases the GIL, so as many threads as
cores fill the machine; when the queue is full the caller is told at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

T = TypeVar("T")

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1


class PasswordPoolFullError(Exception):
    """More passwords wait to be hashed than the queue holds."""


class PasswordPool:
    def __init__(self, *, threads: int, queue: int) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._capacity = threads + queue
        self._busy = 0
        self._nobodys_hash = self._hasher.hash("a password that nobody has")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The encoded Argon2id hash with a fresh salt."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one that was hashed. The same work where there is none to compare."""
        matches = await self._run(self._verify, stored or self._nobodys_hash, password)
        return matches and stored is not None

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._busy >= self._capacity:
            raise PasswordPoolFullError
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[T]) -> None:
        """A hash that was begun is finished even if nobody waits for it, and counts until then."""
        self._busy -= 1
        if not future.cancelled():
            future.exception()

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
