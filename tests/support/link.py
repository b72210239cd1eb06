"""A network link of a test's own between a process and its store, and the ways in which links fail."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Weather = Literal["fair", "hang", "slow", "reset", "corrupt", "nonsense"]
LATENCY_SECONDS = 0.2
LOOPBACK = "127.0.0.1"
CHUNK = 65_536
LEAST_VERSION = 16
"""The place in a broker's first answer where the least version of its first call stands, here above the greatest."""
FRAME_BYTES = 8
"""What is spoiled is the frame: what is in it, only TLS and the records' own sums protect."""


@dataclass(frozen=True, slots=True)
class Ends:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Link:
    """Passes bytes both ways, as the weather allows.

    Kafka's clients follow the address that the broker names; in what it says, that address becomes this one.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self._target = port
        self._chance = random.Random(seed)
        self._running: set[asyncio.Task[None]] = set()
        self._is_passing = asyncio.Event()
        self._is_passing.set()
        self.weather: Weather = "fair"
        self.port = 0

    def turn(self, weather: Weather) -> None:
        """From now on. Connections that carried what they should not are gone when it clears."""
        if weather in ("reset", "nonsense") or self.weather in ("corrupt", "nonsense"):
            self.cut()
        self.weather = weather
        if weather == "hang":
            self._is_passing.clear()
        else:
            self._is_passing.set()

    def cut(self) -> None:
        for task in tuple(self._running):
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._is_passing.wait()
                if self.weather == "reset":
                    return
                there = Ends(*await asyncio.open_connection(LOOPBACK, self._target))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, there.writer, is_answer=False))
                    both.create_task(self._pass(there.reader, writer, is_answer=True))
        finally:
            _reset(writer)
            self._running.discard(task)

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._is_passing.wait()
                if self.weather == "slow":
                    await asyncio.sleep(LATENCY_SECONDS)
                writer.write(self._changed(data, is_answer=is_answer))
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def _changed(self, data: bytes, *, is_answer: bool) -> bytes:
        if is_answer:
            data = data.replace(_named(self._target), _named(self.port))
        if self.weather == "corrupt":
            spoiled = bytearray(data)
            spoiled[self._chance.randrange(min(FRAME_BYTES, len(spoiled)))] ^= 1 << self._chance.randrange(8)
            return bytes(spoiled)
        if self.weather == "nonsense" and is_answer and len(data) > LEAST_VERSION:
            return data[:LEAST_VERSION] + b"\x10" + data[LEAST_VERSION + 1 :]
        return data

    def url(self, url: str) -> str:
        """The same address, through this link."""
        parts = urlsplit(url)
        identity, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{identity}{at}{LOOPBACK}:{self.port}"))


def _named(port: int) -> bytes:
    """As Kafka's metadata name a broker: its host's bytes, then its port."""
    return LOOPBACK.encode() + port.to_bytes(4, "big")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Not a polite end, but a broken one."""
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def link_to(port: int) -> AsyncIterator[Link]:
    link = Link(port)
    server = await asyncio.start_server(link.serve, LOOPBACK, 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.close()
