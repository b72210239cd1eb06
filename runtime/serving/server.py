"""Runs an application until it is told to stop, and then lets what was accepted finish."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.serving.body import BODY_SECONDS
from runtime.serving.forwarded import Tls

DRAIN_SECONDS = 8
MOST_CONNECTIONS = 2000
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
STALLED_SECONDS = 30.0
"""A client that takes nothing of its answer for so long is gone."""
CLOSE_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
"""More than an application has for a body, so that it is the first to answer."""
CLOSE = (b"connection", b"close")
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _Nowhere(list[tuple[bytes, bytes]]):
    def append(self, _: tuple[bytes, bytes]) -> None:
        """Forget it."""


NO_TRAILERS = _Nowhere()


class BoundedRequest(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on the size of a request's head and on the time until the request is complete.

    An application that minds how long a body takes answers by itself, before the client is cut off here.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS + PATIENCE_SECONDS
    stalled_seconds = STALLED_SECONDS
    close_seconds = CLOSE_SECONDS
    _aborting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._is_arriving = False
        self._head_bytes = 0
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        self._stop_abort()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self.is_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self._give_up()
        elif self._timer is None and self._is_arriving:
            self._start_timer()
        elif self._timer is None and self._is_idle():
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """A further request on the same connection has a head of its own."""
        super().on_message_begin()
        self._is_arriving = self.is_head = True
        if self._timer is None:
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """What comes after the body by the names of headers (RFC 9112 section 7.1.2) is none, and is not kept."""
        self.is_head = False
        super().on_headers_complete()
        self.headers = NO_TRAILERS

    def on_message_complete(self) -> None:
        self.has_arrived()
        super().on_message_complete()

    def has_arrived(self) -> None:
        """The request is complete."""
        self._is_arriving = False
        self._stop_timer()

    def pause_writing(self) -> None:
        """Who reads nothing for long goes, with what was kept for it."""
        super().pause_writing()
        self._abort_after(self.stalled_seconds)

    def resume_writing(self) -> None:
        """One that is closed already goes at its time, however little its client takes in between."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_abort()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        """A transport that is closed still waits for its buffer."""
        self.transport.close()
        self._abort_after(self.close_seconds)

    def _abort_after(self, seconds: float) -> None:
        self._stop_abort()
        self._aborting = self.loop.call_later(seconds, self.transport.abort)

    def _stop_abort(self) -> None:
        if self._aborting is not None:
            self._aborting.cancel()
            self._aborting = None

    def _is_idle(self) -> bool:
        """Whether what came belongs to no request: uvicorn has stopped its own timer of idle connections by then."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return self.timeout_keep_alive_task is None and is_answered and not self.transport.is_closing()

    def _wait_for_head(self) -> None:
        self.is_head = True
        self._head_bytes = 0
        self._start_timer()

    def _start_timer(self) -> None:
        """Not for a request that comes whole in one read."""
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._head_is_due)

    def _head_is_due(self) -> None:
        if self.is_head:
            self._give_up()
        else:
            self._timer = self.loop.call_later(self.body_seconds, self._give_up)

    def _give_up(self) -> None:
        self.is_head = False
        self._stop_timer()
        self._close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An application on a socket that is bound already, so that its port is known before anything is served."""

    app: ASGIApp
    socket: socket.socket
    tls: Tls | None = None
    protocol: type[BoundedRequest] = BoundedRequest

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket; port 0 means any that is free. OSError if it cannot be had.

    Processes that all share a port get its connections in turn, as the kernel deals them out (SO_REUSEPORT).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS, reuse_port=is_shared)


async def serve_http(app: ASGIApp, *, host: str, port: int) -> None:
    """Returns after SIGTERM or SIGINT, once open requests are answered or the drain time is over."""
    await serve_all([Listener(app=app, socket=bind(host, port))])


async def serve_all(
    listeners: Sequence[Listener], leaving: asyncio.Event | None = None, *, leave_seconds: float = 0.0
) -> None:
    """As `serve_http`, for several that start and stop together; the first that ends takes the others along.

    `leaving` is set at the signal, for answers that would never end by themselves. Whoever sends requests takes a moment
    to notice, so for `leave_seconds` they are still answered, and each connection ends with its next answer.
    """
    servers = [_Server(_config(listener)) for listener in listeners]
    departure = _Departure(servers, leaving or asyncio.Event(), leave_seconds)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # It stays installed: a signal that comes during the caller's own clean-up must not cut that short.
        loop.add_signal_handler(number, departure.told)
    serving = [
        asyncio.create_task(server.serve(sockets=[listener.socket]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    try:
        await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.wait(serving)
    for task in serving:
        task.result()


class _Departure:
    """The first signal begins it, the second cuts it short, the third drops what is still in hand."""

    def __init__(self, servers: Sequence["_Server"], leaving: asyncio.Event, seconds: float) -> None:
        self._servers = servers
        self._leaving = leaving
        self._seconds = seconds
        self._going: asyncio.TimerHandle | None = None

    def told(self) -> None:
        if self._seconds and not self._leaving.is_set():
            self._leaving.set()
            for server in self._servers:
                server.let_connections_go()
            self._going = asyncio.get_running_loop().call_later(self._seconds, self._go)
        else:
            self._go()

    def _go(self) -> None:
        self._leaving.set()
        if self._going is not None:
            self._going.cancel()
        for server in self._servers:
            server.force_exit = server.should_exit
            server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by `serve_all` and not by signals of its own."""

    def let_connections_go(self) -> None:
        """Each is closed behind its next answer, which says so."""
        self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(listener: Listener) -> uvicorn.Config:
    config = uvicorn.Config(
        listener.app,
        http=listener.protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        server_header=False,
        date_header=True,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    if listener.tls is not None:
        config.ssl_certfile, config.ssl_keyfile = listener.tls.certificate, listener.tls.key
        config.ssl_ca_certs, config.ssl_cert_reqs = listener.tls.authority, ssl.CERT_REQUIRED
    return config
