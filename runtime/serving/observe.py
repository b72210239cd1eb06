"""Every request leaves one log line and one measurement, and carries a trace (W3C Trace Context)."""

import time

import structlog
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.logs import get_logger
from runtime.tracing import Attributes, Span, new_traceparent, server_span

_OUR_FAULT = 500
_CLIENT_LEFT = 499
"""As nginx has it: whoever asked was gone before there was an answer. It is no fault of ours, and sets off no alarm."""
_QUIET = ("/health", "/metrics")
"""What is asked every few seconds leaves neither a line nor a span."""
_log = get_logger("http")


class Observe:
    """ASGI middleware. The raw path is never kept: only its route, which names no one."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = (value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent")
        if scope["path"].startswith(_QUIET):
            await self._observed(Span(new_traceparent(received)), scope, receive, send)
            return
        with server_span(_method(scope), received) as span:
            await self._observed(span, scope, receive, send)

    async def _observed(self, span: Span, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["traceparent"] = span.traceparent
        status = _CLIENT_LEFT

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(trace_id=span.trace_id)
        try:
            await self._app(scope, receive, observed_send)
        except BaseException:
            status = _OUR_FAULT if status == _CLIENT_LEFT else status
            raise
        finally:
            self._leave_a_line(span, scope, status, time.perf_counter() - began)
            structlog.contextvars.reset_contextvars(**bound)

    def _leave_a_line(self, span: Span, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = _method(scope)
        span.rename(f"{method} {route}")
        span.describe(answer_attributes(method, route, status))
        if status >= _OUR_FAULT:
            span.fails(str(status))
        self._seconds.labels(method, route, str(status)).observe(seconds)
        if not route.startswith(_QUIET):
            _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def answer_attributes(method: str, route: str, status: int) -> Attributes:
    """As OpenTelemetry's semantic conventions for HTTP servers name them."""
    return {"http.request.method": method, "http.route": route, "http.response.status_code": status}


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
