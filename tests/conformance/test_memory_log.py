"""The log in memory keeps the log's promises, and its faults are the ones it names."""

import pytest

from eventstore.errors import AppendUnknownError, UnavailableError
from eventstore.memory_log import MemoryLog
from tests.conformance.log_suite import LogSuite


class TestMemoryLog(LogSuite):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog(2)


async def test_faults_lose_repeat_delay_and_silence_appends() -> None:
    log = MemoryLog(1)
    log.faults.extend(["lose", "lose-answer", "duplicate", "delay", None])
    values = []
    for value in (b"lost", b"unanswered", b"twice", b"late", b"plain"):
        try:
            await log.append(0, b"k", value)
        except AppendUnknownError:
            values.append(value)
    assert values == [b"lost", b"unanswered", b"late"]
    stored = [record.value for record in await log.read(0, 0, wait_seconds=1)]
    assert stored == [b"unanswered", b"twice", b"twice", b"plain", b"late"]


async def test_delayed_appends_arrive_when_told() -> None:
    log = MemoryLog(1)
    log.faults.append("delay")
    with pytest.raises(AppendUnknownError):
        await log.append(0, b"k", b"late")
    log.deliver_delayed(0)
    assert [record.value for record in await log.read(0, 0, wait_seconds=1)] == [b"late"]


async def test_a_log_that_is_down_fails_every_call() -> None:
    log = MemoryLog(1)
    log.is_down = True
    with pytest.raises(AppendUnknownError):
        await log.append(0, b"k", b"v")
    with pytest.raises(UnavailableError):
        await log.end(0)
    with pytest.raises(UnavailableError):
        await log.read(0, 0, wait_seconds=0.1)
