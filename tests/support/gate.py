"""A gate between a process and its store: open, or hanging like a network that loses every packet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit


class Gate:
    """Passes bytes both ways while `is_open` is set. Connections stay, and are accepted, also while it is not."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._running: set[asyncio.Task[None]] = set()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.port = 0

    def shut(self) -> None:
        self.is_open.clear()

    def open(self) -> None:
        self.is_open.set()

    def url(self, url: str) -> str:
        """The same address, through this gate."""
        parts = urlsplit(url)
        identity, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{identity}{at}127.0.0.1:{self.port}"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self.is_open.wait()
                there, back = await asyncio.open_connection(*self._target)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, back))
                    both.create_task(self._pass(there, writer))
        finally:
            writer.close()
            self._running.discard(task)

    async def close(self) -> None:
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self.is_open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def gate_before(url: str) -> AsyncIterator[Gate]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    gate = Gate(parts.hostname, parts.port)
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
        await gate.close()
