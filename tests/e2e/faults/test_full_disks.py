"""A store whose files cannot grow any more: what was acknowledged is there, and all goes on once there is room."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.faults.conftest import judged
from tests.e2e.faults.test_process_kills import until_all_ready
from tests.support.chancery import Chancery
from tests.support.daily_life import Life
from tests.support.letters import Letters
from tests.support.processes import life_now, life_of
from tests.support.soak import record, times
from tests.support.tasks import running

PEOPLE = 4
FULL_SECONDS = 4.0
NOTHING_MORE_BYTES = "4096"
"""No file may reach further than this: as on a full disk, whatever would make one longer fails."""


def family_of(pid: int) -> Iterator[int]:
    """The process and all that descend from it."""
    yield pid
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                yield from family_of(int(path.parent.name))


def limit(pid: int, most: str) -> None:
    """Of the whole family, with the rights of whoever runs it: a database does not run as root."""
    for one in family_of(pid):
        with contextlib.suppress(OSError):
            if f"Max file size             {most} " in Path(f"/proc/{one}/limits").read_text():
                continue
            owner = Path(f"/proc/{one}").stat()
            command = ["prlimit", "--pid", str(one), f"--fsize={most}:"]
            subprocess.run(
                command, user=owner.st_uid, group=owner.st_gid, check=False, stderr=subprocess.DEVNULL
            )


@asynccontextmanager
async def full_disk(home: Path, name: str) -> AsyncIterator[None]:
    """For as long as the block lasts, also for a store that was started again because it could not write."""
    async with running(_keep_full(home, name)):
        yield
    life = life_now(home, name)
    if life is not None:
        limit(life.pid, "unlimited")


async def _keep_full(home: Path, name: str) -> None:
    while True:
        life = life_now(home, name)
        if life is not None:
            limit(life.pid, NOTHING_MORE_BYTES)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["kafka", "postgres"])
@pytest.mark.timeout(180 * times(1))
async def test_a_full_disk_loses_nothing_that_was_acknowledged(arena: Chancery, name: str) -> None:
    """Both stores end themselves when they cannot write. What they would say of it belongs into a file that is full too."""
    life, before = Life.among([arena], Letters(arena.home)), life_of(arena.home, name).pid
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        for _ in range(times(1)):
            await life.until_everybody_did_something(PEOPLE)
            async with full_disk(arena.home, name):
                await asyncio.sleep(FULL_SECONDS)
            began = time.monotonic()
            await life.until_everybody_did_something(PEOPLE)
            back = round(time.monotonic() - began, 1)
    await until_all_ready(arena)
    assert life_of(arena.home, name).pid != before, "it never missed the room that it lacked"
    await life.settle()
    outcomes = await judged(arena, life.history)
    await life.judge_reads(arena)
    record(f"full disk of {name}", times(1), back_seconds=back, **outcomes)
