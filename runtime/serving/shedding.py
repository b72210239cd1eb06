"""How many requests are in work at once: who would be one too many is told so at once, and waits in no queue.

A request is in work from its body's arrival until its answer begins, so neither a slow sender nor a slow reader holds
a place, nor does an answer that never ends.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.serving.answers import failure

VITALS = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Never shed: they wait for nobody, and whoever asks wants to know just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkBound:
    """`spared`: further paths whose answers are at hand, and which therefore do not count."""

    most: int
    spared: frozenset[str] = frozenset()


class WorkMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.shed = Counter(
            "chancery_requests_shed", "Requests that came while too many were in work", registry=registry
        )
        self.in_work = Gauge(
            "chancery_requests_in_work", "Requests whose answer has not begun", registry=registry
        )


class Shedding:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, bound: WorkBound, metrics: WorkMetrics) -> None:
        self._app = app
        self._most = bound.most
        self._spared = VITALS | bound.spared
        self._metrics = metrics
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._spared:
            await self._app(scope, receive, send)
        elif self._in_work < self._most:
            await self._work(scope, receive, send)
        else:
            self._metrics.shed.inc()
            title = "Too many requests are in work here. Try again."
            answer = failure(scope["path"], 503, "overloaded", title, {"retry-after": "1"})
            await answer.response()(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_in_work = True

        def leave() -> None:
            nonlocal is_in_work
            if is_in_work:
                is_in_work = False
                self._count(-1)

        async def watched_send(message: Message) -> None:
            leave()
            await send(message)

        self._count(1)
        try:
            await self._app(scope, receive, watched_send)
        finally:
            leave()

    def _count(self, change: int) -> None:
        self._in_work += change
        self._metrics.in_work.set(self._in_work)
