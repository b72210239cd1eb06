"""A load generator that costs little: requests are bytes made before, and an answer is searched for what it must hold."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.load import ANSWER_SECONDS, Tally


@dataclass(frozen=True, slots=True)
class Question:
    """`expected` must be in a right answer, whose status must be 200."""

    request: bytes
    expected: bytes


@dataclass(slots=True, kw_only=True)
class _Round:
    """What the connections of one measurement share."""

    began: float
    until: float
    most: int
    taken: int = 0
    done: asyncio.Event
    connections: int
    tally: Tally = field(default_factory=Tally)


class _Asker(asyncio.Protocol):
    """Asks the next question that nobody has asked yet when an answer has come whole."""

    def __init__(self, questions: Sequence[Question], shared: _Round) -> None:
        self._questions = questions
        self._asked = questions[0]
        self._shared = shared
        self._came = b""
        self._sent = 0.0
        self._has_ended = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvloop has it
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        came = self._came + data if self._came else data
        head = came.find(b"\r\n\r\n")
        if head < 0 or len(came) < head + 4 + _length(came, head):
            self._came = came
            return
        self._came = b""
        now, shared = time.perf_counter(), self._shared
        if shared.began <= self._sent and now <= shared.until:
            shared.tally.seconds.append(now - self._sent)
            is_right = came.startswith(b"HTTP/1.1 200") and self._asked.expected in came
            if not is_right:
                shared.tally.wrong += 1
                shared.tally.sample = shared.tally.sample or came[:400]
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        self._end()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._shared.until or self._shared.taken == self._shared.most:
            self._transport.close()
            self._end()
            return
        self._asked = self._questions[self._shared.taken % len(self._questions)]
        self._shared.taken += 1
        self._transport.write(self._asked.request)

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._shared.connections -= 1
        if self._shared.connections == 0:
            self._shared.done.set()


def _length(came: bytes, head: int) -> int:
    at = came.find(b"content-length: ", 0, head)
    return int(came[at + 16 : came.find(b"\r", at)]) if at >= 0 else 0


async def blast(
    port: int, questions: Sequence[Question], *, connections: int, seconds: float, most: int = -1
) -> Tally:
    """All questions in turn, spread over connections, for so long or until `most` were asked."""
    began = time.perf_counter()
    shared = _Round(
        began=began, until=began + seconds, most=most, done=asyncio.Event(), connections=connections
    )
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Asker(questions, shared), "127.0.0.1", port)
    async with asyncio.timeout(seconds + ANSWER_SECONDS):
        await shared.done.wait()
    shared.tally.elapsed = min(seconds, time.perf_counter() - began)
    return shared.tally
