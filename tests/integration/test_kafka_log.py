"""The log on a real Kafka: the log's promises, and what a broker that dies or hangs does to them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from eventstore.errors import AppendUnknownError, CorruptLogError, UnavailableError
from eventstore.kafka_log import KafkaLog
from eventstore.log import Log
from localstack.stack import StackInfo
from runtime.kafka_access import KafkaAccess
from tests.conformance.log_suite import LogSuite, read_to_end
from tests.support.broker import Broker, nobody_there, opened
from tests.support.tasks import eventually

BetweenReads = Literal["pause", "fetch"]
TIMEOUT_SECONDS = 1.0
PATIENCE_SECONDS = 9.0


@pytest.fixture
def broker(projector_stack: StackInfo) -> Broker:
    return Broker(projector_stack.home, projector_stack.kafka)


@pytest.fixture(params=["pause", "fetch"])
def between_reads(request: pytest.FixtureRequest) -> BetweenReads:
    mode: BetweenReads = request.param
    return mode


class TestKafkaLog(LogSuite):
    @pytest.fixture
    async def log(self, broker: Broker, between_reads: BetweenReads) -> AsyncIterator[KafkaLog]:
        topics = await broker.new_topics()
        async with opened(
            KafkaLog(KafkaAccess(broker.bootstrap), topics.events, 2, between_reads=between_reads)
        ) as log:
            yield log


@pytest.fixture
async def log(broker: Broker, between_reads: BetweenReads) -> AsyncIterator[KafkaLog]:
    topics = await broker.new_topics()
    made = KafkaLog(
        KafkaAccess(broker.bootstrap),
        topics.events,
        2,
        timeout_seconds=TIMEOUT_SECONDS,
        between_reads=between_reads,
    )
    async with opened(made):
        yield made


async def test_a_log_that_is_longer_than_a_batch_is_read_whole(log: KafkaLog) -> None:
    await asyncio.gather(*(log.append(0, b"k", b"%d" % number) for number in range(1200)))
    records = await read_to_end(log, 0)
    assert [record.offset for record in records] == list(range(1200))
    assert len({record.value for record in records}) == 1200


async def test_a_record_of_the_largest_size_is_stored_and_a_larger_one_is_not(log: KafkaLog) -> None:
    largest = b"x" * 900_000
    assert await log.append(0, b"k", largest) == 0
    assert [record.value for record in await read_to_end(log, 0)] == [largest]
    with pytest.raises(AppendUnknownError, match="MessageSizeTooLargeError"):
        await log.append(0, b"k", largest * 2)
    assert await log.append(0, b"k", b"next") == 1


async def test_an_offset_that_the_broker_never_has_halts(log: KafkaLog) -> None:
    """A leader that was deposed in its sleep has not got it either, for a while."""
    await log.append(0, b"k", b"v")
    began = time.monotonic()
    with pytest.raises(CorruptLogError, match=r"partition 0, offset 100: .*out of range"):
        await read_until(log, 100)
    assert time.monotonic() - began > PATIENCE_SECONDS
    assert [record.value for record in await read_to_end(log, 0)] == [b"v"]


async def read_until(log: Log, offset: int) -> None:
    """Ask until the broker's word is believed."""
    for _ in range(300):
        with contextlib.suppress(UnavailableError):
            assert not await log.read(0, offset, wait_seconds=0.5)
        await asyncio.sleep(0.1)  # it is asked again as often as a partition's owner would


async def test_an_end_before_what_was_read_is_believed_only_if_it_stays(log: KafkaLog) -> None:
    await log.append(0, b"k", b"v")
    with pytest.raises(UnavailableError, match="said to end at 1, before 2"):
        await log.end(0, at_least=2)
    await log.append(0, b"k", b"v")
    assert await log.end(0, at_least=2) == 2
    began = time.monotonic()
    assert await eventual_end(log, at_least=3) == 2
    assert time.monotonic() - began > PATIENCE_SECONDS


async def eventual_end(log: Log, *, at_least: int) -> int:
    for _ in range(300):
        with contextlib.suppress(UnavailableError):
            return await log.end(0, at_least=at_least)
        await asyncio.sleep(0.1)  # it is asked again as often as a partition's owner would
    raise AssertionError("it was never believed")


async def test_an_append_that_is_cancelled_leaves_a_log_that_takes_the_next(log: KafkaLog) -> None:
    await log.append(0, b"k", b"first")
    cancelled = asyncio.create_task(log.append(0, b"k", b"cancelled"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    last = await log.append(0, b"k", b"last")
    values = [record.value for record in await read_to_end(log, 0)]
    assert values in (
        [b"first", b"last"],
        [b"first", b"cancelled", b"last"],
        [b"first", b"last", b"cancelled"],
    )
    assert values[last] == b"last"


async def test_where_no_broker_is_everything_fails_within_its_time() -> None:
    log = KafkaLog(KafkaAccess(nobody_there()), "events", 1, timeout_seconds=TIMEOUT_SECONDS)
    began = time.monotonic()
    with pytest.raises(AppendUnknownError, match="produce to events"):
        await log.append(0, b"k", b"v")
    with pytest.raises(UnavailableError, match="connect"):
        await log.start()
    assert time.monotonic() - began < 4 * TIMEOUT_SECONDS
    await log.stop()


async def test_a_broker_that_was_killed_fails_calls_in_time_and_keeps_what_it_took(
    broker: Broker, log: KafkaLog
) -> None:
    assert await log.append(0, b"k", b"before") == 0
    async with broker.killed():
        began = time.monotonic()
        with pytest.raises(AppendUnknownError):
            await log.append(0, b"k", b"during")
        assert time.monotonic() - began < 2 * TIMEOUT_SECONDS
        with pytest.raises(UnavailableError):
            await log.end(0)
        assert await log.read(0, 1, wait_seconds=0.2) == []
    await until_it_answers(log)
    after = await log.append(0, b"k", b"after")
    values = [record.value for record in await read_to_end(log, 0)]
    assert values[0] == b"before"
    assert values[after] == b"after"
    assert len(values) - values.count(b"during") == 2


async def test_a_broker_that_hangs_leaves_an_append_unknown_and_never_doubles_it(
    broker: Broker, log: KafkaLog
) -> None:
    await log.append(0, b"k", b"before")
    async with broker.hanging():
        began = time.monotonic()
        with pytest.raises(AppendUnknownError, match="TimeoutError"):
            await log.append(0, b"k", b"during")
        with pytest.raises(UnavailableError, match="end offsets"):
            await log.end(0)
        assert time.monotonic() - began < 2 * TIMEOUT_SECONDS + 3
    await until_it_answers(log)
    after = await log.append(0, b"k", b"after")
    values = [record.value for record in await read_to_end(log, 0)]
    assert values[after] == b"after"
    assert values.count(b"during") <= 1


async def test_a_reader_that_waits_sees_what_comes_after_a_restart(broker: Broker, log: KafkaLog) -> None:
    await log.append(0, b"k", b"before")
    async with broker.killed():
        pass
    await until_it_answers(log)
    await log.append(0, b"k", b"after")
    assert [record.value for record in await read_to_end(log, 0)] == [b"before", b"after"]


async def until_it_answers(log: KafkaLog) -> None:
    async def answers() -> bool:
        try:
            await log.end(0)
        except UnavailableError:
            return False
        return True

    await eventually(answers, within_seconds=20)
