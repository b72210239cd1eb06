"""The server's own deadlines, on a real socket, for applications that have none."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from localstack.ports import LOOPBACK
from runtime.serving.answers import json_answer
from runtime.serving.ready import ReadyAnswer
from runtime.serving.server import BoundedRequest, bind
from tests.support.tasks import eventually

HEAD = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"
LIMIT_SECONDS = 0.3


class Quick(BoundedRequest):
    head_seconds = LIMIT_SECONDS
    body_seconds = LIMIT_SECONDS


@dataclass(slots=True)
class Patient:
    """An application that waits for its body as long as it takes."""

    port: int = 0
    ended_with: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_hasty: bool = False
    """Then it answers before it has the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = scope["headers"]
        while not self.is_hasty:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                self.ended_with.append(message["type"])
                break
        await ReadyAnswer.of(json_answer(200, {})).send(send)

    async def has_ended(self) -> bool:
        return bool(self.ended_with)


@pytest.fixture
async def patient() -> AsyncIterator[Patient]:
    app = Patient()
    config = uvicorn.Config(app, http=Quick, lifespan="off", log_config=None)
    config.load()
    listening = bind(LOOPBACK, 0)
    app.port = listening.getsockname()[1]
    server = await asyncio.get_running_loop().create_server(
        lambda: Quick(config, ServerState(), {}), sock=listening
    )
    async with server:
        yield app


async def test_a_body_that_never_comes_is_let_go(patient: Patient) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, patient.port)
    began = time.monotonic()
    writer.write(HEAD + b"ab")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert time.monotonic() - began >= LIMIT_SECONDS
    await eventually(patient.has_ended)
    assert patient.ended_with == ["http.disconnect"]
    writer.close()


async def test_a_head_that_never_comes_is_let_go(patient: Patient) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, patient.port)
    writer.write(HEAD[:20])
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert patient.ended_with == []
    writer.close()


@pytest.mark.parametrize("is_hasty", [False, True])
async def test_what_belongs_to_no_request_holds_no_connection(patient: Patient, is_hasty: bool) -> None:  # noqa: FBT001  # both are tried
    """Uvicorn's own timer of idle connections is stopped by whatever comes."""
    patient.is_hasty = is_hasty
    reader, writer = await asyncio.open_connection(LOOPBACK, patient.port)
    writer.write(HEAD + (b"ab" if is_hasty else b"abcd"))
    assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
    writer.write(b"cd" if is_hasty else b"\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_headers_after_the_body_are_none(patient: Patient) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, patient.port)
    head = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head + b"2\r\nab\r\n0\r\nx-forwarded-for: 203.0.113.77\r\n\r\n")
    assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
    assert [name for name, _ in patient.headers] == [b"host", b"transfer-encoding"]
    writer.close()


async def test_each_request_of_a_connection_has_its_own_time(patient: Patient) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, patient.port)
    for _ in range(4):
        writer.write(HEAD + b"ab")
        await asyncio.sleep(LIMIT_SECONDS / 3)  # a client that is slow, and in time
        writer.write(b"cd")
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
    assert patient.ended_with == ["http.request"] * 4
    writer.write(HEAD)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
