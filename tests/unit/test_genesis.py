"""The first records of a log: written once, by whoever comes first, and told from those of another log."""

import asyncio

import pytest

from eventstore.chain import ChainReader
from eventstore.commit import Genesis, encode
from eventstore.errors import UnavailableError, UnsafeTopicError
from eventstore.memory_log import MemoryLog
from eventstore.provision import write_genesis
from tests.support.chains import AT, LOG_ID
from tests.support.writers import now


async def log_ids(log: MemoryLog) -> list[str | None]:
    """What a reader of each partition takes for the log's id."""
    ids = []
    for partition in range(log.partitions):
        chain = ChainReader(partition, log.partitions)
        for record in await log.read(partition, 0, wait_seconds=1):
            chain.admit(record)
        ids.append(chain.log_id)
    return ids


async def test_every_partition_gets_the_same_log_id() -> None:
    log = MemoryLog(3)
    log_id = await write_genesis(log, now)
    assert await log_ids(log) == [log_id] * 3


async def test_a_log_that_is_begun_is_left_as_it_is() -> None:
    log = MemoryLog(2)
    first = await write_genesis(log, now)
    assert await write_genesis(log, now) == first
    assert [await log.end(partition) for partition in range(2)] == [1, 1]


async def test_several_provisioners_at_once_agree_on_one_id() -> None:
    log = MemoryLog(4)
    ids = set(await asyncio.gather(*(write_genesis(log, now) for _ in range(5))))
    assert await log_ids(log) == [ids.pop()] * 4
    assert not ids


async def test_a_half_begun_log_is_completed_under_its_own_id() -> None:
    log = MemoryLog(2)
    await log.append(0, b"genesis", encode(Genesis.of(log_id=LOG_ID, partition=0, partitions=2, at=AT)))
    assert await write_genesis(log, now) == LOG_ID
    assert await log_ids(log) == [LOG_ID, LOG_ID]


@pytest.mark.parametrize("fault", ["lose", "lose-answer", "duplicate", "delay"])
async def test_one_fault_leaves_one_id(fault: object) -> None:
    log = MemoryLog(2)
    log.faults.append(fault)  # type: ignore[arg-type]  # parametrised by name
    log_id = await write_genesis(log, now)
    assert await log_ids(log) == [log_id, log_id]


async def test_a_log_that_takes_no_append_is_unavailable() -> None:
    log = MemoryLog(1)
    log.faults.extend(["lose"] * 5)
    with pytest.raises(UnavailableError, match="the genesis of partition 0 could not be written"):
        await write_genesis(log, now)


async def test_a_partition_of_another_log_is_refused() -> None:
    log = MemoryLog(2)
    foreign = Genesis.of(log_id=LOG_ID, partition=1, partitions=2, at=AT)
    await log.append(1, b"genesis", encode(foreign))
    with pytest.raises(UnsafeTopicError, match=f"partition 1 belongs to log {LOG_ID}, not to"):
        await write_genesis(log, now)


async def test_records_before_the_genesis_are_void() -> None:
    log = MemoryLog(1)
    late = encode(Genesis.of(log_id=LOG_ID, partition=0, partitions=1, at=AT)).replace(b'"seq":0', b'"seq":1')
    await log.append(0, b"k", late)
    log_id = await write_genesis(log, now)
    assert await log_ids(log) == [log_id]
    assert log_id != LOG_ID
