"""A disk that fails to keep what it was told to (`fsync`): what was acknowledged is there, once it works again."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from tests.e2e.conftest import open_chancery
from tests.e2e.faults.conftest import judged
from tests.e2e.faults.test_process_kills import until_all_ready
from tests.support.broken_disk import BrokenDisk
from tests.support.chancery import Chancery
from tests.support.daily_life import Life
from tests.support.letters import Letters
from tests.support.processes import life_now
from tests.support.risk import A_DAY
from tests.support.soak import record, times
from tests.support.tasks import running
from tests.support.unlimited import UNLIMITED

PEOPLE = 4
BROKEN_SECONDS = 4.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenDisk]:
    with BrokenDisk.mounted(tmp_path_factory.mktemp("disk")) as disk:
        yield disk


@pytest.fixture(scope="module")
def stack_on_it(disk: BrokenDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("broken")
    environment = {**os.environ, **UNLIMITED, **A_DAY, **free_port_variables()}
    try:
        yield disk.run(lambda: start_stack(home, environment, lifetime="caller"))
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def place(stack_on_it: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(stack_on_it) as opened:
        yield opened


def start_again(place: Chancery, name: str) -> None:
    """What an operator has to do: PostgreSQL 18 that panics in its recovery stays in it for good."""
    life = life_now(place.home, name)
    if name == "postgres" and life is not None:
        os.kill(life.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", ["kafka", "postgres"])
@pytest.mark.timeout(240 * times(1))
async def test_a_disk_that_keeps_nothing_loses_nothing_that_was_acknowledged(
    place: Chancery, disk: BrokenDisk, name: str
) -> None:
    """Valkey is not asked to keep anything on disk here: it may come back empty."""
    life = Life.among([place], Letters(place.home))
    async with running(*(life.lead(client) for client in range(PEOPLE))):
        for _ in range(times(1)):
            await life.until_everybody_did_something(PEOPLE)
            before = disk.failed
            disk.breaks(place.home / name)
            await asyncio.sleep(BROKEN_SECONDS)
            disk.works()
            start_again(place, name)
            assert disk.failed > before, f"{name} never asked to keep anything"
            began = time.monotonic()
            await life.until_everybody_did_something(PEOPLE)
            back = round(time.monotonic() - began, 1)
    await until_all_ready(place)
    await life.settle()
    outcomes = await judged(place, life.history)
    await life.judge_reads(place)
    record(f"broken disk of {name}", times(1), back_seconds=back, failed_calls=disk.failed, **outcomes)
