"""How long after its acknowledgement a commit is visible to a reader who waits for its position.

`python -m bench.visible --json` asks the whole platform on this machine: sessions are refreshed over HTTP, at 70 % of
what it takes at most. `at_rates` writes into the log by hand, faster than any command could, past the command API.
"""

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench.append import NEVER_REFUSED
from bench.commands import Refresher, new_people
from bench.history import History, Made, refreshed, started
from bench.load import drive, read_answer
from events.streams import account_stream, new_id
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from readmodels.positions import PositionWatch
from runtime.clock import utc_now
from runtime.collector import collect_seldom
from runtime.postgres import Postgres

SESSIONS = 64
SHARE_OF_LOAD = 0.7
WARM_UP_SECONDS = 3.0
RATES = (500, 3000, 5000)
"""Commits a second, written by hand."""
PATIENCE_SECONDS = 10.0


@contextlib.asynccontextmanager
async def watching(postgres: Postgres) -> AsyncIterator[PositionWatch]:
    watch = PositionWatch(postgres)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})


class Waits:
    """Seconds from the moment a commit was acknowledged until its session's row shows it."""

    def __init__(self, watch: PositionWatch) -> None:
        self._watch = watch
        self._seconds: list[float] = []

    async def until_visible(self, partition: int, seq: int) -> None:
        began = time.perf_counter()
        assert await self._watch.wait_for("sessions", {partition: seq}, wait_seconds=PATIENCE_SECONDS)
        self._seconds.append(time.perf_counter() - began)

    @property
    def count(self) -> int:
        return len(self._seconds)

    def quantile_ms(self, share: float) -> float:
        return round(1000 * sorted(self._seconds)[int(self.count * share)], 1)


async def by_commands(stack: StackInfo, seconds: float) -> dict[str, float]:
    """Sessions of many people are refreshed over HTTP, first as often as the platform can, then at 70 % of that."""
    port = urlsplit(stack.command_url).port or 0
    sessions = [Refresher(person) for person in await new_people(stack.command_url, SESSIONS)]
    await drive(port, list(sessions), warm_up=0, seconds=WARM_UP_SECONDS)
    most = await drive(port, list(sessions), warm_up=0, seconds=seconds / 2)
    postgres = await Postgres.open(stack.postgres_dsn)
    try:
        async with watching(postgres) as watch:
            waits, began = Waits(watch), time.perf_counter()
            await _at_rate(port, sessions, SHARE_OF_LOAD * most.per_second, seconds, waits)
            elapsed = time.perf_counter() - began
    finally:
        await postgres.close()
    return {
        "most_refreshes_per_second": round(most.per_second),
        "refreshes_per_second": round(waits.count / elapsed),
        "visible_commits": waits.count,
        "visible_p50_ms": waits.quantile_ms(0.5),
        "visible_p99_ms": waits.quantile_ms(0.99),
        "wrong_answers": most.wrong,
    }


async def _at_rate(
    port: int, sessions: Sequence[Refresher], rate: float, seconds: float, waits: Waits
) -> None:
    """Sessions take turns on connections of their own. One whose answer is late goes on at once."""
    began = time.perf_counter()

    async def refresh_on_and_on(number: int, session: Refresher) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for turn in range(number, int(rate * seconds), len(sessions)):
                await asyncio.sleep(max(0, began + turn / rate - time.perf_counter()))
                writer.write(session.request())
                status, head, body = await read_answer(reader)
                assert session.check(status, body), (status, body[:200])
                tasks.create_task(waits.until_visible(*_position(head)))
        finally:
            writer.close()

    async with asyncio.timeout(10 * seconds), asyncio.TaskGroup() as tasks:
        for number, session in enumerate(sessions):
            tasks.create_task(refresh_on_and_on(number, session))


def _position(head: bytes) -> tuple[int, int]:
    at = head.lower().index(b"chancery-position: ") + len(b"chancery-position: ")
    partition, _, seq = head[at : head.index(b"\r", at)].partition(b":")
    return int(partition), int(seq)


async def at_rates(history: History, watch: PositionWatch, seconds: float) -> dict[str, float]:
    lives, found = Lives(history), dict[str, float]()
    for rate in RATES:
        waits = Waits(watch)
        found[f"visible_at_{rate}_written_per_second"] = round(await lives.send(rate, seconds, waits))
        found[f"visible_at_{rate}_p50_ms"] = waits.quantile_ms(0.5)
        found[f"visible_at_{rate}_p99_ms"] = waits.quantile_ms(0.99)
    return found


class Lives:
    """One commit after the other: sessions that begin and are refreshed."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._number = 0
        self._stream = ""

    async def send(self, rate: float, seconds: float, waits: Waits) -> float:
        """Send commits, made before, at that rate until all are visible; how many a second were sent in truth."""
        commits = [await self._make() for _ in range(int(rate * seconds))]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, made in enumerate(commits):
                await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
                acknowledged = await self._history.send(made)
                tasks.create_task(_until_visible(made, acknowledged, waits))
            elapsed = time.perf_counter() - began
        return len(commits) / elapsed

    async def _make(self) -> Made:
        self._number += 1
        now, session = utc_now(), f"{self._stream}-{self._number // 4}"
        if self._number % 100 == 1:
            self._stream = account_stream(new_id(self._number // 100 % 1024))
            await self._history.prepare(self._stream)
        if self._number % 4 == 1:
            return self._history.make(self._stream, started(session, now))
        return self._history.make(self._stream, refreshed(session, self._number % 4 + 2, now))


async def _until_visible(made: Made, acknowledged: "asyncio.Future[int]", waits: Waits) -> None:
    await acknowledged
    await waits.until_visible(made.partition, made.seq)


def by_commands_of_a_new_stack(environment: Mapping[str, str], seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        own = {**environment, **NEVER_REFUSED, **free_port_variables(), "CHANCERY_SIGNUP": "open"}
        stack = start_stack(home, own, lifetime="caller")
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(by_commands(stack, seconds))
        finally:
            stop_stack(home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seconds", type=float, default=10, help="of load")
    arguments = parser.parse_args()
    collect_seldom()
    found = by_commands_of_a_new_stack(os.environ, arguments.seconds) | {"load": round(os.getloadavg()[0], 2)}
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
