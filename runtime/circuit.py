"""A circuit breaker before a store: while it is not heard, calls fail at once instead of waiting for it.

Laws: only silence opens it, never a refusal, nor a caller who went away. Open, it lets one call at a time through to
see whether the store is back, and any answer closes it. The states and the counting are `circuitbreaker`'s, which
goes by the monotonic clock; what a call's end proves is decided here.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

from circuitbreaker import CircuitBreaker
from prometheus_client import CollectorRegistry

from runtime.logs import get_logger
from runtime.metrics import CIRCUIT_OPEN

FAILURES = 5
"""In a row."""
OPEN_SECONDS = 0.5
PROBE_SECONDS = 1.0
"""After which a probe that has not ended no longer keeps others from being one."""
_log = get_logger("circuit")


class Circuit:
    """Of one pool: each has its own deadlines, and learns nothing from those of others."""

    def __init__(self, store: str, refusal: type[Exception]) -> None:
        """`refusal`: how the store's own failure looks to callers, who need not tell the two apart."""
        self._store = store
        self._refusal = refusal
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES,
            recovery_timeout=OPEN_SECONDS,
            expected_exception=refusal,
            name=store,
        )
        self._probe_until = 0.0
        self._heard_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Also while it is tried whether it may close."""
        return not self._breaker.closed

    def admit(self) -> bool:
        """Whether this call is a probe; the refusal if the store is not to be asked now."""
        if self._breaker.closed:
            return False
        self.require_not_open()
        now = time.monotonic()
        if now < self._probe_until:
            raise self.refused()
        self._probe_until = now + PROBE_SECONDS
        return True

    def require_not_open(self) -> None:
        """The refusal while not even probes are let through."""
        if self._breaker.opened:
            raise self.refused()

    def admit_late(self, began: float, silent_seconds: float) -> None:
        """The refusal for who has waited since then, if it opened meanwhile, or all was silence for so long."""
        if time.monotonic() - began >= silent_seconds and self._heard_at < began:
            raise self.refused()
        self.admit()

    def refused(self, reason: str = "not asked, because it did not answer") -> Exception:
        return self._refusal(f"{self._store}: {reason}")

    def heard(self) -> None:
        """The store answered, if only to refuse."""
        self._heard_at = time.monotonic()
        if self.is_open:
            _log.info("a store is asked again", store=self._store)
        self._breaker.reset()

    def unheard(self, began: float) -> None:
        """A call that began then, in monotonic seconds, had no answer.

        It proves nothing if others had one in the latter half of its time: then it waited for what is gone already.
        """
        now = time.monotonic()
        if now - self._heard_at < (now - began) / 2:
            return
        was_open = self.is_open
        with contextlib.suppress(self._refusal), self._breaker:
            raise self._refusal
        self._probe_until = 0.0
        if self.is_open and not was_open:
            _log.warning("a store is not asked for a moment, because it does not answer", store=self._store)


class Places:
    """How many may ask a store at once. Who waits for a place has not asked yet, and may well be answered after it.

    But who waited for half the time that one answer may take, while nobody had one, need not wait again.
    """

    def __init__(
        self, count: int, circuit: Circuit, *, answer_seconds: float, patience_seconds: float
    ) -> None:
        self._free = asyncio.Semaphore(count)
        self._circuit = circuit
        self._silent_seconds = answer_seconds / 2
        self._patience_seconds = patience_seconds

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """The circuit's refusal if none is free in time, or the store is not to be asked."""
        is_probe = self._circuit.admit()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise self._circuit.refused("no connection was free in time") from None
        try:
            if not is_probe:
                self._circuit.admit_late(began, self._silent_seconds)
            yield
        finally:
            self._free.release()


def show_circuits(registry: CollectorRegistry, **circuits: Circuit) -> None:
    """As a metric, by these names."""
    gauge = CIRCUIT_OPEN.made(registry)
    for name, circuit in circuits.items():
        gauge.labels(name).set_function(partial(_level, circuit))


def _level(circuit: Circuit) -> float:
    return float(circuit.is_open)
