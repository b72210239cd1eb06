"""Clients that do not wait for one another: so many requests a second, however slow the answers are."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from bench.load import http_request, read_answer
from localstack.ports import LOOPBACK
from tests.support.history import Command, History

ANSWER_SECONDS = 20.0
IDLE_SECONDS = 3.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True, kw_only=True)
class Crowd:
    """At most `connections` requests are under way at once; one more is not sent, and counted as missed."""

    history: History
    port: int
    connections: int
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    missed: int = 0
    _idle: list[tuple[float, Connection]] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, command: Command) -> None:
        """One request, noted in the history and here. A connection that breaks is one that gave no answer."""
        invoked, answer = time.monotonic(), None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._connection()
                writer.write(_bytes_of(command))
                status, head, body = await read_answer(reader)
            self._idle.append((time.monotonic(), (reader, writer)))
            answer = httpx.Response(status, headers=_headers_of(head), content=body)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        self.history.note(command, invoked, answer)
        self.latencies.append(time.monotonic() - invoked)
        self.statuses.append(status)

    async def flood(self, make: Callable[[], Command], *, per_second: float, seconds: float) -> None:
        """Send at the times that the rate names, and wait for the last answer."""
        began = time.monotonic()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            if len(self._running) >= self.connections:
                self.missed += 1
                continue
            task = asyncio.create_task(self.ask(make()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if self._running:
            await asyncio.wait(self._running)

    def close(self) -> None:
        for _, (_, writer) in self._idle:
            writer.close()
        self._idle.clear()

    def quantile(self, share: float) -> float:
        """Seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    async def _connection(self) -> Connection:
        """One that nobody uses and that the server keeps open for some seconds yet, or a new one."""
        while self._idle:
            idle_since, connection = self._idle.pop()
            if time.monotonic() - idle_since < IDLE_SECONDS:
                return connection
            connection[1].close()
        return await asyncio.open_connection(LOOPBACK, self.port)


def _bytes_of(command: Command) -> bytes:
    """With the very body that httpx sends: a repetition under the same key must not look like another request."""
    body = httpx.Request(command.method, "http://any", json=command.request["json"]).content
    headers = {**command.headers, "content-type": "application/json"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return http_request(command.method, command.path, body, lines)


def _headers_of(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines) if name]
