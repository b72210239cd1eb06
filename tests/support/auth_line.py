"""The line between a gateway and Chancery: hears what is asked, and fails in the ways in which lines fail."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

from localstack.ports import LOOPBACK

Fault = Literal["refuse", "hang"] | bytes
"""Bytes are answered to whatever is asked."""
CHUNK = 65_536
QUESTION = re.compile(rb"^[A-Z]+ /v1/forward-auth\S* HTTP/1\.[01]\r$", re.MULTILINE)


class AuthLine:
    """Passes bytes both ways between its own port and Chancery's, unless there is a fault."""

    def __init__(self, target_url: str, port: int) -> None:
        self._target = urlsplit(target_url).port
        self._port = port
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._fault: Fault | None = None
        self._heard = bytearray()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port)

    async def close(self) -> None:
        """Whoever comes now is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def take_heard(self) -> bytes:
        """What gateways said since this was asked before."""
        heard = bytes(self._heard)
        self._heard.clear()
        return heard

    @asynccontextmanager
    async def failing(self, fault: Fault) -> AsyncIterator[None]:
        await self.close()
        self._fault = fault
        if fault != "refuse":
            await self.open()
        try:
            yield
        finally:
            await self.close()
            self._fault = None
            await self.open()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self._fault is None:
                    await self._pass_on(reader, writer)
                else:
                    await self._fail(reader, writer)
        finally:
            writer.close()
            self._running.discard(task)

    async def _fail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(CHUNK):
            if isinstance(self._fault, bytes):
                writer.write(self._fault)
                return

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, self._target)

        async def ask() -> None:
            while data := await reader.read(CHUNK):
                self._heard += data
                there_writer.write(data)
            there_writer.close()

        async def answer() -> None:
            while data := await there_reader.read(CHUNK):
                writer.write(data)
            writer.close()

        try:
            await asyncio.gather(ask(), answer())
        finally:
            there_writer.close()


def questions(heard: bytes) -> int:
    return len(QUESTION.findall(heard))
