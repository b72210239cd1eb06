"""One whole stack that everything may happen to, shared by the fault tests."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from tests.e2e.conftest import open_chancery
from tests.support.chancery import Chancery
from tests.support.feed import settled_feed_faults
from tests.support.history import History
from tests.support.judge import Evidence, counted_by_outcome, judge
from tests.support.log_reading import read_log, settled_heads
from tests.support.risk import A_DAY
from tests.support.unlimited import UNLIMITED


@pytest.fixture(scope="package")
def arena_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("arena")
    try:
        environment = {**os.environ, **UNLIMITED, **A_DAY, **free_port_variables()}
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="package")
async def arena(arena_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(arena_stack) as opened:
        yield opened


async def judged(chancery: Chancery, *histories: History) -> Mapping[str, int]:
    """No fault by any rule that clients, the log and the public feed can tell. How many attempts had which outcome."""
    lines = [line for history in histories for line in history.lines]
    log = await read_log(chancery.settings)
    heads = await settled_heads(chancery.settings, log)
    faults = judge(Evidence(lines=lines, log=log, heads=heads))
    faults += await settled_feed_faults(chancery.settings, log)
    if faults:
        for number, history in enumerate(histories):
            history.save(chancery.home / f"history-{number}.jsonl")
    assert faults == []
    return counted_by_outcome(lines)
