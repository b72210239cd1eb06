"""Redis or Valkey with bounds on every wait. Nobody else imports redis.

Only scripts are offered, and waiting for a stream: what belongs together is one script, and one script is one round
trip. A pool that has no answer several times in a row says so at once for a moment (`runtime/circuit.py`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from runtime.circuit import Circuit, Places

MOST_CONNECTIONS = 32


class ValkeyUnavailableError(Exception):
    """The store did not answer in time, went away, or could not do it now."""


class _RefusedError(ValkeyUnavailableError):
    """The store answered, and could not do it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What a store says of itself. `most_bytes` is 0 where it has no bound of its own."""

    product: str
    version: str
    memory_policy: str
    used_bytes: int
    most_bytes: int
    has_append_only_file: bool


class Valkey:
    """A bounded pool. It connects when it is first asked, so a process may start before its store."""

    def __init__(self, client: "Redis", *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self.circuit = Circuit("Valkey", ValkeyUnavailableError)
        self._places = Places(
            MOST_CONNECTIONS, self.circuit, answer_seconds=timeout_seconds, patience_seconds=timeout_seconds
        )

    @classmethod
    def open(cls, url: str, *, timeout_seconds: float) -> Self:
        """One retry, and without a pause: a restarted store leaves dead connections in the pool."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        return cls(Redis.from_pool(pool), timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    @property
    def pool(self) -> BlockingConnectionPool:
        """For a library that brings scripts of its own. What it raises, `translated` makes our error."""
        pool = self._client.connection_pool
        assert isinstance(pool, BlockingConnectionPool)
        return pool

    def script(self, lua: str) -> "Script":
        return Script(self, self._client, lua)

    def bell(self, stream: str) -> "Bell":
        return Bell(self, self._client, stream)

    async def memory_policy(self) -> str:
        """What the store does when its memory is full; `noeviction` loses nothing."""
        async with self.asking():
            memory: dict[str, Any] = await self._client.info("memory")
        return str(memory.get("maxmemory_policy", "unknown"))

    async def facts(self) -> StoreFacts:
        async with self.asking():
            info: dict[str, Any] = await self._client.info()
        product = "Valkey" if "valkey_version" in info else "Redis"
        return StoreFacts(
            product=product,
            version=str(info.get(f"{product.lower()}_version", "")),
            memory_policy=str(info.get("maxmemory_policy", "unknown")),
            used_bytes=int(info.get("used_memory", 0)),
            most_bytes=int(info.get("maxmemory", 0)),
            has_append_only_file=info.get("aof_enabled") == 1,
        )

    @contextlib.asynccontextmanager
    async def asking(self, *, more_seconds: float = 0.0) -> AsyncIterator[None]:
        """For one call, which may take `more_seconds` than others."""
        async with self._places.taken():
            with self._told(), translated():
                async with asyncio.timeout(self._timeout_seconds + more_seconds):
                    yield

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The circuit is told how this call ended."""
        began = time.monotonic()
        try:
            yield
        except _RefusedError:
            self.circuit.heard()
            raise
        except ValkeyUnavailableError:
            self.circuit.unheard(began)
            raise
        self.circuit.heard()


class Script:
    """A Lua script, sent by its digest and in full only to a store that does not have it."""

    def __init__(self, valkey: Valkey, client: "Redis", lua: str) -> None:
        self._valkey = valkey
        self._run = client.register_script(lua)

    async def __call__(self, keys: Sequence[str], values: Sequence[str | int]) -> Any:
        async with self._valkey.asking():
            return await self._run(keys=list(keys), args=list(values))


class Bell:
    """Rings when a stream grows. What was added is asked for by a script, together with what belongs to it."""

    def __init__(self, valkey: Valkey, client: "Redis", stream: str) -> None:
        self._valkey = valkey
        self._client = client
        self._stream = stream

    async def wait(self, after: str, *, seconds: float) -> None:
        """Return once there is an entry after this one, or the time is over."""
        async with self._valkey.asking(more_seconds=seconds):
            await self._client.xread({self._stream: after}, count=1, block=int(seconds * 1000))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The driver's errors as ours. A cancellation stays one.

    The driver can lose it: a connection whose peer went away fails while a cancelled call cleans up after itself, and that
    error takes the cancellation's place, or the call is tried again and succeeds.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        if task.cancelling() == cancelled_before:
            ours = _RefusedError if isinstance(error, ResponseError) else ValkeyUnavailableError
            raise ours(f"Valkey: {type(error).__name__}") from None
    if task.cancelling() > cancelled_before:
        raise asyncio.CancelledError
