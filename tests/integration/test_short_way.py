"""What the server's short way takes, on a real socket. Everything else reaches the application as if it were not there."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from localstack.ports import LOOPBACK
from runtime.serving.answers import HttpAnswer
from runtime.serving.ready import ReadyAnswer
from runtime.serving.server import bind
from runtime.serving.short_way import Headers, ShortRequest, with_short_way
from tests.support.tasks import eventually

LIMIT_SECONDS = 0.3
BIG = 200_000


@dataclass(slots=True, kw_only=True)
class Place:
    """A server, its application, and its short way, which answers what begins with `yes`."""

    asked: frozenset[tuple[bytes, bytes]] = frozenset({(b"POST", b"/short"), (b"GET", b"/short")})
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    """By the application: method, path and body."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    holds: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    answers: int = 0
    connections: set[Any] = field(default_factory=set)

    def answer(self, target: bytes, headers: Headers, body: bytes) -> ReadyAnswer | None:
        assert target == b"/short"
        self.headers = list(headers)
        self.answers += 1
        if body.startswith(b"bug"):
            raise ZeroDivisionError
        if body == b"big":
            return ready(b"x" * BIG)
        if body == b"":
            return ready(b"short ")
        return ready(b"short " + body) if body.startswith(b"yes") else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            is_whole = not message.get("more_body")
        self.seen.append((scope["method"], scope["path"], body))
        if scope["path"] == "/held":
            await self.holds.wait()
        await ready(b"long " + body).send(send)


def ready(body: bytes) -> ReadyAnswer:
    return ReadyAnswer.of(HttpAnswer(status=200, body=body, headers={"x-of": "test"}))


def request(body: bytes, *more: str, head: str = "POST /short HTTP/1.1") -> bytes:
    lines = [head, "host: x", *more, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    found = Place()
    protocol = with_short_way(found)
    assert issubclass(protocol, ShortRequest)
    protocol.head_seconds = protocol.body_seconds = LIMIT_SECONDS
    protocol.stalled_seconds = protocol.close_seconds = LIMIT_SECONDS
    config = uvicorn.Config(
        found, http=protocol, lifespan="off", log_config=None, limit_concurrency=10, timeout_keep_alive=1
    )
    config.load()
    state = ServerState()
    found.connections = state.connections
    listening = bind(LOOPBACK, 0)
    found.port = listening.getsockname()[1]
    state.default_headers = [(b"date", b"today")]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), sock=listening)
    async with server:
        yield found
        found.holds.set()


async def exchange(place: Place, *pieces: bytes, answers: int = 1) -> bytes:
    """What came back for these writes: so many answers, or for 0 all until the server closes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, place.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)  # so that pieces arrive as such
        async with asyncio.timeout(5):
            if answers == 0:
                return await reader.read()
            return b"".join([await one_answer(reader) for _ in range(answers)])
    finally:
        writer.transport.abort()


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 100 " in head:
        head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
    return head + await reader.readexactly(length)


async def test_an_answer_is_what_an_application_would_have_sent(place: Place) -> None:
    short = await exchange(place, request(b"yes 1"))
    long = await exchange(place, request(b"yes 1", head="POST /other HTTP/1.1"))
    assert short == (b"HTTP/1.1 200 OK\r\ndate: today\r\nx-of: test\r\ncontent-length: 11\r\n\r\nshort yes 1")
    assert short.replace(b"short", b"long").replace(b" 11", b" 10") == long
    assert place.seen == [("POST", "/other", b"yes 1")]
    assert place.headers == [(b"host", b"x"), (b"content-length", b"5")]


@pytest.mark.parametrize(
    "pieces",
    [
        (request(b"no 1"),),
        (request(b"yes 1")[:-2], b" 1"),
        (request(b"yes 1")[:20], request(b"yes 1")[20:-5], b"yes 1"),
        (request(b"yes 1", head="PUT /short HTTP/1.1"),),
        (request(b"yes 1", head="POST /short?a=b HTTP/1.1"),),
        (request(b"yes 1", head="POST /sh%6frt HTTP/1.1"),),
        (request(b"yes 1", head="POST //short HTTP/1.1"),),
        (request(b"yes 1", head="POST http://x/short HTTP/1.1"),),
        (request(b"yes 1", "expect: 100-continue"),),
    ],
)
async def test_whatever_is_not_plain_and_whole_goes_to_the_application(
    place: Place, pieces: tuple[bytes, ...]
) -> None:
    assert b"\r\n\r\nlong " in await exchange(place, *pieces)
    assert [body[-2:] for *_, body in place.seen] == [b" 1"]


async def test_who_wants_another_protocol_speaks_to_the_application(place: Place) -> None:
    """Uvicorn gives it no body."""
    for upgrade in (("connection: upgrade", "upgrade: h2c"), ()):
        came = await exchange(place, request(b"", *upgrade, head="GET /short HTTP/1.1"))
        assert came.endswith(b"\r\n\r\nlong " if upgrade else b"\r\n\r\nshort ")


@pytest.mark.parametrize("head", ["POST /short HTTP/1.0", "POST /short HTTP/1.1"])
async def test_a_connection_that_ends_is_the_applications(place: Place, head: str) -> None:
    more = ("connection: close",) if head.endswith("1.1") else ()
    came = await exchange(place, request(b"yes 1", *more, head=head), answers=0)
    assert came.endswith(b"long yes 1")
    assert b"connection: close" in came


async def test_answers_keep_the_order_of_their_requests(place: Place) -> None:
    wanted = [b"yes 1", b"no 2", b"yes 3", b"yes 4", b"no 5"]
    came = await exchange(place, b"".join(request(body) for body in wanted), answers=5)
    order = [part.rpartition(b"\r\n\r\n")[2] for part in came.split(b"HTTP/1.1 200 OK") if part]
    assert [body.split()[-1] for body in order] == [b"1", b"2", b"3", b"4", b"5"]
    assert order[0] == b"short yes 1"
    assert order[1] == b"long no 2"
    held = request(b"yes 1", head="POST /held HTTP/1.1")
    asking = asyncio.create_task(exchange(place, held + request(b"yes 2"), answers=2))
    await asyncio.sleep(0.1)  # the second must not overtake the first, which waits
    place.holds.set()
    came = await asking
    assert came.index(b"long yes 1") < came.index(b"yes 2")


async def test_a_short_answer_sets_no_end_to_a_long_one_behind_it(place: Place) -> None:
    """Uvicorn closes an idle connection after a second here; this one is not idle."""
    held = request(b"no 2", head="POST /held HTTP/1.1")
    asking = asyncio.create_task(exchange(place, request(b"yes 1") + held, answers=2))
    await asyncio.sleep(1.3)  # longer than an idle connection lives
    place.holds.set()
    assert (await asking).endswith(b"long no 2")


async def test_a_bug_is_logged_and_the_application_answers(place: Place) -> None:
    with capture_logs() as lines:
        assert (await exchange(place, request(b"bug 1"))).endswith(b"long bug 1")
    assert [line["event"] for line in lines] == ["a bug"]


async def test_a_body_that_breaks_off_or_breaks_the_rules_is_none(place: Place) -> None:
    chunked = b"POST /short HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await exchange(place, chunked + b"5\r\nyes 1\r\n0\r\n\r\n")).endswith(b"short yes 1")
    trailed = chunked + b"5\r\nyes 2\r\n0\r\nauthorization: forged\r\n\r\n"
    assert (await exchange(place, trailed)).endswith(b"short yes 2")
    assert [name for name, _ in place.headers] == [b"host", b"transfer-encoding"]
    came = await exchange(place, chunked + b"zz\r\n", answers=0)
    assert came.startswith(b"HTTP/1.1 400 Bad Request")
    smuggled = b"POST /short HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n"
    came = await exchange(place, smuggled + b"5\r\nyes 1\r\n0\r\n\r\n", answers=0)
    assert came.startswith(b"HTTP/1.1 400 Bad Request")
    began = asyncio.get_running_loop().time()
    assert await exchange(place, request(b"yes 1")[:-1], answers=0) == b""
    assert asyncio.get_running_loop().time() - began >= LIMIT_SECONDS
    assert place.seen == []


async def test_what_follows_an_answer_holds_no_connection(place: Place) -> None:
    """Uvicorn's own timer of idle connections is stopped by whatever comes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, place.port)
    writer.write(request(b"yes 1"))
    await reader.readuntil(b"yes 1")
    writer.write(b"\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_one_who_reads_nothing_is_not_answered_for_ever(place: Place) -> None:
    """Its answers fill what fits in buffers; then its requests wait, others do not, and soon it is gone."""
    listening = socket.create_connection((LOOPBACK, place.port))
    listening.sendall(request(b"big") * 200)

    async def is_held_back() -> bool:
        return bool(place.seen)

    async def is_gone() -> bool:
        return not place.connections

    await eventually(is_held_back)
    assert place.answers < 100
    assert (await exchange(place, request(b"yes 2"))).endswith(b"short yes 2")
    began = time.monotonic()
    await eventually(is_gone)
    assert time.monotonic() - began < 1
    listening.close()


async def test_connections_beyond_the_bound_are_not_answered_here(place: Place) -> None:
    held = [await asyncio.open_connection(LOOPBACK, place.port) for _ in range(10)]
    came = await exchange(place, request(b"yes 1"), answers=0)
    assert came.startswith(b"HTTP/1.1 503 Service Unavailable")
    for _, writer in held:
        writer.close()
