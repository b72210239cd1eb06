"""Partitions are shared evenly, let go between two batches, and taken over when somebody dies."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from projectors.keep_going import Course, keep_going
from projectors.metrics import Metrics
from projectors.turns import Sharing, Turns, lock_of
from readmodels.pauses import partitions_in_work, pause, pauses, resume
from runtime.health import Health
from runtime.postgres import Connection, Postgres
from runtime.serving.worker import Rest
from tests.support.tasks import eventually

PARTITIONS = 8
CONSUMER: Final = "relay"
TAKEN_OVER_SECONDS = 5.0


class Worker:
    """Works on what it is given, and notes what it holds and what it was cut off from."""

    def __init__(
        self,
        postgres: Postgres,
        *,
        step_seconds: float = 0.01,
        consumer: str = CONSUMER,
        release: str = "r1",
        halts_in: Sequence[int] = (),
    ) -> None:
        metrics = Metrics(CollectorRegistry())
        self.health, self.rest, self.holds = Health(), Rest(), set[int]()
        self.finished, self.cut_off, self._step_seconds = 0, 0, step_seconds
        self._halts_in = halts_in
        self._session = Course(f"{consumer}-session", 0, self.health, metrics)
        courses = [Course(consumer, n, self.health, metrics) for n in range(PARTITIONS)]
        sharing = Sharing(postgres=postgres, rest=self.rest, release=release)
        self._turns = Turns(sharing, self._session, courses, self._work)

    async def run(self) -> None:
        await keep_going(self._session, lambda: asyncio.create_task(self._turns.take()))

    async def _work(self, _: Connection, course: Course) -> None:
        if course.partition in self._halts_in:
            course.halts("a fact that this release does not know")
            return
        self.holds.add(course.partition)
        try:
            while not course.is_resting:
                await asyncio.sleep(self._step_seconds)  # a batch
                self.finished += 1
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.holds.discard(course.partition)


@contextlib.asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def share(workers: Sequence[Worker], counts: Sequence[int], *, within_seconds: float = 10) -> None:
    async def is_so() -> bool:
        held = sorted(partition for worker in workers for partition in worker.holds)
        return held == list(range(PARTITIONS)) and sorted(len(w.holds) for w in workers) == sorted(counts)

    await eventually(is_so, within_seconds=within_seconds)


async def test_partitions_are_shared_evenly_whoever_comes_and_goes(postgres: Postgres) -> None:
    first, second, third = (Worker(postgres) for _ in range(3))
    async with at_work(first):
        await share([first], [8])
        async with at_work(second):
            await share([first, second], [4, 4])
            async with at_work(third):
                await share([first, second, third], [3, 3, 2])
            await share([first, second], [4, 4], within_seconds=TAKEN_OVER_SECONDS)
        await share([first], [8], within_seconds=TAKEN_OVER_SECONDS)
        assert (first.cut_off, first.health.failing()) == (0, {})
    assert first.cut_off == 8


async def test_what_halted_elsewhere_is_taken_over_by_whoever_can_go_on(postgres: Postgres) -> None:
    older, newer = Worker(postgres, halts_in=range(PARTITIONS)), Worker(postgres)
    async with at_work(older):

        async def has_halted() -> bool:
            return len(older.health.failing()) == PARTITIONS

        await eventually(has_halted)
        async with at_work(newer):
            await share([older, newer], [0, 8])
            await asyncio.sleep(3)  # six looks, at which nothing may change hands again
            assert (len(newer.holds), newer.cut_off) == (8, 0)
            assert newer.health.failing() == {}


async def test_releases_that_define_tables_otherwise_do_not_stand_in_for_one_another(
    postgres: Postgres,
) -> None:
    workers = [Worker(postgres, consumer="tables", release=release) for release in ("old", "old", "new")]
    async with at_work(workers[0]), at_work(workers[1]), at_work(workers[2]):
        await share(workers[:2], [4, 4])
        await share(workers[2:], [8])
        await pause(postgres, "tables")

        async def stand_still() -> bool:
            return not any(worker.holds for worker in workers)

        await eventually(stand_still)


async def test_a_pause_lets_go_of_everything_between_two_batches_and_outlives_processes(
    postgres: Postgres,
) -> None:
    worker, other = Worker(postgres), Worker(postgres)
    async with at_work(worker):
        await share([worker], [8])
        assert await partitions_in_work(postgres, lock_of(CONSUMER)) == 8
        await pause(postgres, CONSUMER)
        await pause(postgres, CONSUMER)

        async def stand_still() -> bool:
            return not worker.holds and await partitions_in_work(postgres, lock_of(CONSUMER)) == 0

        await eventually(stand_still)
        assert (worker.cut_off, worker.health.failing()) == (0, {})
        assert list(await pauses(postgres)) == [CONSUMER]
        async with at_work(other):
            await asyncio.sleep(1.5)  # three looks, at which nothing may be taken
            assert other.holds == set()
            await resume(postgres, CONSUMER)
            await share([worker, other], [4, 4])


async def test_what_is_in_hand_is_finished_before_the_end(postgres: Postgres) -> None:
    worker = Worker(postgres, step_seconds=0.7)
    async with at_work(worker):
        await share([worker], [8])
        began, finished = time.monotonic(), worker.finished
        await worker.rest.ask(5)
        assert (worker.holds, worker.cut_off, worker.finished - finished) == (set(), 0, 8)
        assert time.monotonic() - began < 2

        async def has_given_back() -> bool:
            return await partitions_in_work(postgres, lock_of(CONSUMER)) == 0

        await eventually(has_given_back)


async def test_what_does_not_finish_is_cut_off(postgres: Postgres) -> None:
    slow, quick = Worker(postgres, step_seconds=60), Worker(postgres)
    async with at_work(slow):
        await share([slow], [8])
        async with at_work(quick):
            await share([slow, quick], [4, 4], within_seconds=15)
        assert slow.cut_off == 4


HOLDER = """
import asyncio, sys
from runtime.postgres import Postgres
from tests.integration.test_turns import Worker
async def main():
    await Worker(await Postgres.open(sys.argv[1])).run()
asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_dies_or_hangs_is_replaced_within_five_seconds(
    postgres: Postgres, database_dsn: str, end: signal.Signals
) -> None:
    lost = subprocess.Popen([sys.executable, "-c", HOLDER, database_dsn])  # noqa: ASYNC220  # our own words
    try:

        async def holds_all() -> bool:
            return await partitions_in_work(postgres, lock_of(CONSUMER)) == PARTITIONS

        await eventually(holds_all, within_seconds=30)
        heir = Worker(postgres)
        async with at_work(heir):
            await eventually(lambda: holds_half(heir))
            lost.send_signal(end)
            began = time.monotonic()
            await share([heir], [8], within_seconds=15)
            assert time.monotonic() - began <= TAKEN_OVER_SECONDS
    finally:
        lost.send_signal(signal.SIGKILL)
        lost.wait()


async def holds_half(worker: Worker) -> bool:
    return len(worker.holds) == PARTITIONS // 2
