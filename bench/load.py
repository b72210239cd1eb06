"""A closed loop over keep-alive connections: each sends its next request when its answer was checked."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_TICKS = os.sysconf("SC_CLK_TCK")
ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class Tally:
    """What came back within the measured time. `wrong` counts answers that were not as they should be."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    sample: bytes = b""
    """The beginning of a wrong answer."""
    elapsed: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.elapsed

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Worker(Protocol):
    """One client."""

    def request(self) -> bytes:
        """Its next request."""
        ...

    def check(self, status: int, body: bytes) -> bool:
        """Whether the answer is right. It may learn from it."""
        ...


def http_request(method: str, path: str, body: bytes, headers: str) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def drive(port: int, workers: list[Worker], *, warm_up: float, seconds: float) -> Tally:
    """Every worker on a connection of its own, for so long; what happens in the warm-up is not counted."""
    tally = Tally()
    began = time.perf_counter() + warm_up
    until = began + seconds
    async with asyncio.timeout(warm_up + seconds + ANSWER_SECONDS), asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(_drive_one(port, worker, tally, began, until))
    tally.elapsed = seconds
    return tally


async def _drive_one(port: int, worker: Worker, tally: Tally, began: float, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (sent := time.perf_counter()) < until:
            writer.write(worker.request())
            status, _, body = await read_answer(reader)
            answered = time.perf_counter()
            is_right = worker.check(status, body)
            if began <= sent and answered <= until:
                tally.seconds.append(answered - sent)
                tally.wrong += not is_right
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head as it came, body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.find(b"content-length: ")
    length = int(lowered[at + 16 : lowered.index(b"\r", at)]) if at >= 0 else 0
    body = await reader.readexactly(length) if length else b""
    return int(head[9:12]), head, body


class CpuMeter:
    """CPU seconds of processes, by name, since the last look."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def used(self) -> dict[str, float]:
        now = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        used = {name: now[name] - self._before[name] for name in now}
        self._before = now
        return used


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
