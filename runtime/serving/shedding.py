"""How many requests are in work at once: who would be one too many is told so at once, and waits in no queue.

A request is in work from its body's arrival until its answer begins, so neither a slow sender nor a slow reader holds
a place, nor does an answer that never ends, nor one that waits for a position (`resting`): those have a bound of their own.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.metrics import REQUESTS_IN_WORK, REQUESTS_SHED
from runtime.serving.answers import AnswerError, HttpAnswer, failure

MOST_RESTING_OF_ONE_PLACE = 8
_KEY = "work"
VITALS = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Never shed: they wait for nobody, and whoever asks wants to know just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkBound:
    """`spared`: further paths whose answers are at hand, and which therefore do not count."""

    most: int
    spared: frozenset[str] = frozenset()


class WorkMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.shed = REQUESTS_SHED.made(registry)
        self.in_work = REQUESTS_IN_WORK.made(registry)


def _overloaded(path: str) -> HttpAnswer:
    title = "Too many requests are in work here. Try again."
    return failure(path, 503, "overloaded", title, {"retry-after": "1"})


@contextlib.asynccontextmanager
async def resting(scope: Scope) -> AsyncIterator[None]:
    """The request waits, and asks nobody, while the block lasts. AnswerError if too many do."""
    work: _Work | None = scope.get("state", {}).get(_KEY)
    if work is None:
        yield
        return
    with work.rest(scope["path"]):
        yield


class Shedding:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, bound: WorkBound, metrics: WorkMetrics) -> None:
        self._app = app
        self._most = bound.most
        self._spared = VITALS | bound.spared
        self._metrics = metrics
        self._in_work = 0
        self._resting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._spared:
            await self._app(scope, receive, send)
        elif self._in_work < self._most:
            await self._work(scope, receive, send)
        else:
            self._metrics.shed.inc()
            await _overloaded(scope["path"]).response()(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = scope.setdefault("state", {})[_KEY] = _Work(self)

        async def watched_send(message: Message) -> None:
            work.leave()
            await send(message)

        work.enter()
        try:
            await self._app(scope, receive, watched_send)
        finally:
            work.leave()

    def count(self, *, in_work: int = 0, resting: int = 0) -> None:
        self._in_work += in_work
        self._resting += resting
        self._metrics.in_work.set(self._in_work)

    def may_rest(self) -> bool:
        is_room = self._resting < MOST_RESTING_OF_ONE_PLACE * self._most
        if not is_room:
            self._metrics.shed.inc()
        return is_room


class _Work:
    """Of one request: whether it is counted."""

    def __init__(self, shedding: Shedding) -> None:
        self._shedding = shedding
        self._is_counted = False

    def enter(self) -> None:
        self._is_counted = True
        self._shedding.count(in_work=1)

    def leave(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._shedding.count(in_work=-1)

    @contextlib.contextmanager
    def rest(self, path: str) -> Iterator[None]:
        if not self._shedding.may_rest():
            raise AnswerError(_overloaded(path))
        self.leave()
        self._shedding.count(resting=1)
        try:
            yield
        finally:
            self._shedding.count(resting=-1)
            self.enter()
