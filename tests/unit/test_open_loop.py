"""Who asks in a crowd and again alone under the same key sends the same bytes, or Chancery rightly takes them for two requests."""

import asyncio

import httpx

from tests.support.history import Command, History
from tests.support.open_loop import Crowd


async def test_a_repetition_has_the_body_of_the_first_request() -> None:
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.splitlines() if line.startswith("content-length:"))
        bodies.append(await reader.readexactly(int(length.partition(":")[2])))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    command = Command(
        method="POST", path="/", effect="none", request={"json": {"email": "ä@b", "password": "c d"}}
    )
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx.AsyncClient() as alone:
        crowd = Crowd(history=History(sides=[]), port=port, connections=1)
        await crowd.ask(command)
        await alone.post(f"http://127.0.0.1:{port}/", **command.request)
        crowd.close()
    assert crowd.statuses == [204]
    assert bodies[0] == bodies[1]
