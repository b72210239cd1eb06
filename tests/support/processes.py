"""The processes of a local stack as a test sees them, and what it does to them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from localstack.stack import running_stack


@dataclass(frozen=True, slots=True)
class ProcessLife:
    """One life of a process: another one has another birth."""

    pid: int
    born: str | None
    is_ready: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessLife) and (self.pid, self.born) == (other.pid, other.born)

    def __hash__(self) -> int:
        return hash((self.pid, self.born))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def life_now(home: Path, name: str) -> ProcessLife | None:
    """None while there is none."""
    state = running_stack(home)
    assert state is not None
    process = state.processes[name]
    return None if process.pid is None else ProcessLife(process.pid, process.born, process.ready)


def life_of(home: Path, name: str) -> ProcessLife:
    life = life_now(home, name)
    assert life is not None, f"{name} does not run"
    return life


@asynccontextmanager
async def paused(pid: int) -> AsyncIterator[None]:
    """It sleeps for as long as the block lasts, in the middle of whatever it did."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0)


def forget_valkey(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()
