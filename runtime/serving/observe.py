"""Every request leaves one log line and one measurement, and carries a trace (W3C Trace Context)."""

import re
import secrets
import time
from collections.abc import Iterable

import structlog
from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.logs import get_logger

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_log = get_logger("http")


def request_seconds(registry: CollectorRegistry) -> Histogram:
    return Histogram(
        "chancery_http_request_seconds",
        "Time from the request's arrival to the end of its answer",
        ("method", "route", "status"),
        registry=registry,
    )


class Observe:
    """ASGI middleware. The raw path is never kept: only its route, which names no one."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["traceparent"] = traceparent = _traceparent(scope)
        status = 500

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(trace_id=traceparent.split("-")[1])
        try:
            await self._app(scope, receive, observed_send)
        finally:
            self._leave_a_line(scope, status, time.perf_counter() - began)
            structlog.contextvars.reset_contextvars(**bound)

    def _leave_a_line(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._seconds.labels(method, route, str(status)).observe(seconds)
        if not route.startswith(("/health", "/metrics")):
            _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _traceparent(scope: Scope) -> str:
    return new_traceparent(
        value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"
    )


def new_traceparent(received: Iterable[str]) -> str:
    """The caller's trace with a new span, or a new trace."""
    for text in received:
        match = _TRACEPARENT.fullmatch(text)
        if match is not None and match[1].strip("0") and match[2].strip("0"):
            return f"00-{match[1]}-{secrets.token_hex(8)}-{match[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
