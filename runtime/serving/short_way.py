"""Requests that are answered as soon as they are read, without a task, an application or a wait.

Only a plain request that came whole in one read, on a connection where nothing else is in work, is offered. Whatever is
not answered then goes to the application as if nobody had looked at it.
"""

from collections.abc import Iterable
from typing import Protocol

from runtime.logs import get_logger
from runtime.serving.ready import ReadyAnswer
from runtime.serving.server import CLOSE, NO_TRAILERS, BoundedRequest

Headers = Iterable[tuple[bytes, bytes]]
_log = get_logger("short_way")


class ShortWay(Protocol):
    """`asked` are the methods and request targets that it wants to see."""

    asked: frozenset[tuple[bytes, bytes]]

    def answer(self, target: bytes, headers: Headers, body: bytes) -> ReadyAnswer | None:
        """At once; None for what it leaves to the application. The names of headers are in lower case."""


class _Start:
    """The status line, and the headers that all answers have: a list that the server makes anew every second."""

    def __init__(self) -> None:
        self._of: list[tuple[bytes, bytes]] | None = None
        self._rendered = b""

    def of(self, default: list[tuple[bytes, bytes]]) -> bytes:
        if self._of is not default:
            lines = [name + b": " + value + b"\r\n" for name, value in default]
            self._of, self._rendered = default, b"".join([b"HTTP/1.1 200 OK\r\n", *lines])
        return self._rendered


class ShortRequest(BoundedRequest):
    short_way: ShortWay
    _is_held = False
    _held = b""
    _start: _Start

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_held:
            self._release()

    def on_headers_complete(self) -> None:
        if self._may_hold():
            self.is_head = False
            self._is_held = True
            self._held = b""
            self.headers = NO_TRAILERS
        else:
            self._begin_long()

    def on_body(self, body: bytes) -> None:
        if self._is_held:
            self._held += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_held:
            super().on_message_complete()
            return
        answer = self._answer()
        if answer is None:
            self._release()
            super().on_message_complete()
            return
        self._is_held, self._held = False, b""
        self.has_arrived()
        start = self._start.of(self.server_state.default_headers)
        self.transport.write(start + answer.head + answer.body)
        self.on_response_complete()

    def _may_hold(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            (parser.get_method(), self.url) in self.short_way.asked
            and (cycle is None or cycle.response_complete)
            and not self.pipeline
            and not self.expect_100_continue
            and not self.flow.write_paused
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
            and CLOSE not in self.server_state.default_headers
        )

    def _answer(self) -> ReadyAnswer | None:
        try:
            return self.short_way.answer(self.url, self.scope["headers"], self._held)
        except Exception as error:  # noqa: BLE001  # the application answers, and whoever reads the log mends it
            _log.error("a bug", exc_info=error)
            return None

    def _release(self) -> None:
        """Go on as if it had not been held."""
        self._is_held = False
        held, self._held = self._held, b""
        if self.transport.is_closing():
            return
        self._begin_long()
        if held:
            super().on_body(held)

    def _begin_long(self) -> None:
        """An answer before it in the same read may have set uvicorn's timer of idle connections."""
        self._unset_keepalive_if_required()
        super().on_headers_complete()


def with_short_way(short_way: ShortWay) -> type[ShortRequest]:
    """Uvicorn's protocol with this one before the application."""
    return type("ShortRequest", (ShortRequest,), {"short_way": short_way, "_start": _Start()})
