"""`replay verify`: proves a live log from its first record to the ends that it had at the start.

Partitions have nothing to do with one another but the log's id, so each is proven in a process of its own, as
many at once as there are cores.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray

from replay.partition_check import Broken, BrokenLogError, PartitionCheck, PartitionReport, SavedHead
from runtime.kafka import KafkaOffsetLostError, KafkaReader
from runtime.kafka_access import KafkaAccess
from runtime.kafka_scan import scan

_LOOK_SECONDS = 0.25
_TIMEOUT_SECONDS = 10.0
_read_records: "SynchronizedArray[int] | None" = None
"""In a worker: how many records of each partition were read, seen by the process that shows the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which log to prove, and how. `heads` are those that were saved of it before, by partition."""

    access: KafkaAccess
    topic: str
    partitions: int
    heads: Mapping[int, SavedHead]
    is_thorough: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found. `broken` names the first bad place of each partition that has one."""

    partitions: tuple[PartitionReport, ...]
    broken: Mapping[int, Broken]
    seconds: float

    @property
    def records(self) -> int:
        return sum(one.records for one in self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    read: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.read / self.seconds if self.seconds else 0.0

    @property
    def left_seconds(self) -> float | None:
        return (self.total - self.read) / self.rate if self.rate else None


async def verify(wanted: Wanted, on_progress: Callable[[Progress], None]) -> Proof:
    """KafkaUnavailableError if the log cannot be read."""
    began = time.monotonic()
    ends = await _ends(wanted)
    total = sum(ends.values())
    context = multiprocessing.get_context("spawn")
    counts = context.Array("Q", wanted.partitions, lock=True)
    workers = min(wanted.partitions, _cores())
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(workers, context, _begin_worker, (counts,)) as pool:
        tasks = [
            loop.run_in_executor(pool, prove_partition, wanted, number, ends[number])
            for number in sorted(ends, key=lambda number: -ends[number])
        ]
        try:
            reports = await _watch(tasks, lambda: on_progress(_progress(counts[:], total, began)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return conclude(sorted(reports, key=lambda one: one.partition), time.monotonic() - began)


def prove_partition(wanted: Wanted, partition: int, end: int) -> PartitionReport:
    """One partition, in a process of its own."""
    return asyncio.run(_prove(wanted, partition, end))


def conclude(reports: Sequence[PartitionReport], seconds: float) -> Proof:
    """The partitions together: one log has one id."""
    broken = {one.partition: one.broken for one in reports if one.broken is not None}
    first = reports[0].log_id
    for one in reports:
        if one.log_id != first:
            reason = f"belongs to log {one.log_id or 'none'}, and partition 0 to {first or 'none'}"
            broken.setdefault(one.partition, Broken(offset=0, reason=reason))
    return Proof(partitions=tuple(reports), broken=broken, seconds=seconds)


async def _prove(wanted: Wanted, partition: int, end: int) -> PartitionReport:
    check = PartitionCheck(
        partition=partition,
        partitions=wanted.partitions,
        expected=wanted.heads.get(partition),
        is_thorough=wanted.is_thorough,
    )
    try:
        async for batch in scan(wanted.access, wanted.topic, partition, end):
            for record in batch:
                check.feed(record.offset, record.key, record.value)
            if _read_records is not None:
                _read_records[partition] = batch[-1].offset + 1
    except BrokenLogError:
        pass
    except KafkaOffsetLostError as error:
        check.note(0, str(error))
    return check.report()


async def _watch(
    tasks: "Sequence[asyncio.Future[PartitionReport]]", look: Callable[[], None]
) -> list[PartitionReport]:
    """The reports, looked at again and again until they are there or one of them fails."""
    waiting: set[asyncio.Future[PartitionReport]] = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, timeout=_LOOK_SECONDS)
        for task in done:
            task.result()
        look()
    return [task.result() for task in tasks]


def _progress(counts: Sequence[int], total: int, began: float) -> Progress:
    return Progress(read=sum(counts), total=total, seconds=time.monotonic() - began)


async def _ends(wanted: Wanted) -> Mapping[int, int]:
    reader = KafkaReader(
        wanted.access,
        wanted.topic,
        wanted.partitions,
        timeout_seconds=_TIMEOUT_SECONDS,
        between_reads="pause",
    )
    await reader.start()
    try:
        return await reader.ends()
    finally:
        await reader.stop()


def _begin_worker(counts: "SynchronizedArray[int]") -> None:
    global _read_records  # noqa: PLW0603  # the one way to hand a worker what cannot be sent as an argument
    _read_records = counts


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
