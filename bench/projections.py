"""How fast the log becomes what readers see: `python -m bench.projections --json`, one JSON object as its last line.

It starts a Kafka, a PostgreSQL and a Valkey of its own and writes people's lives into a log by hand. Then, in turn
and several times: our projectors into PostgreSQL, and a plain loop of aiokafka and asyncpg that writes the same rows
and keeps no books. Then Valkey, and a real projectors process, asked when each commit is visible. Then relay,
subscribers of the SDK (alone and in a consumer group), and the Faust risk worker. At last the whole platform, at 70 %
of the load that it can take, asked the same (`bench.visible`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from bench import plain_loop
from bench.history import History
from bench.relay import relay_events_per_second
from bench.risk import faust_events_per_second
from bench.subscriber import sdk_events_per_second
from bench.visible import at_rates, by_commands_of_a_new_stack, watching
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.provision import Topics, create_topics, write_genesis
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from projectors.metrics import Metrics
from projectors.runner import Runner, Sink
from projectors.tables import Tables
from projectors.valkey_v1 import ValkeyV1
from projectors.versions import first_versions
from readmodels.dump import Digest, digests
from readmodels.tables import create_tables
from runtime.clock import utc_now
from runtime.collector import collect_seldom
from runtime.encoding import base64url
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from runtime.postgres import Postgres
from runtime.redis import Valkey

PARTITIONS = 4
TOPICS = Topics(
    events="projected",
    keys="projected.keys",
    public="projected.public",
    partitions=PARTITIONS,
    replication_factor=1,
)
KEY = bytes(32)
SAME = ("accounts", "sessions", "audit")
SESSIONS = 3
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    per_second: float
    per_cpu_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    stack: StackInfo
    keys: KafkaKeyStore
    ends: Mapping[int, int]
    events: int
    rows: list[tuple[Digest, ...]] = field(default_factory=list)
    """Of every run into PostgreSQL: all of them must have made the same."""

    @contextlib.asynccontextmanager
    async def empty_database(self) -> AsyncIterator[Postgres]:
        postgres = await Postgres.open(self.stack.postgres_dsn)
        try:
            await postgres.execute("drop schema if exists chancery cascade")
            await create_tables(postgres)
            yield postgres
        finally:
            await postgres.close()

    async def into_tables(self) -> Speed:
        async with self.empty_database() as postgres:
            metrics = Metrics(CollectorRegistry())
            speed = await self.build(Tables(postgres, first_versions(), metrics), metrics)
            self.rows.append(await digests(postgres, SAME))
            return speed

    async def into_valkey(self) -> Speed:
        valkey, metrics = Valkey.open(self.stack.redis_url, timeout_seconds=2), Metrics(CollectorRegistry())
        try:
            return await self.build(ValkeyV1(valkey, metrics, partitions=PARTITIONS), metrics)
        finally:
            await valkey.close()

    async def build(self, sink: Sink, metrics: Metrics) -> Speed:
        """Until the sink has confirmed all of the log."""
        log = new_log(self.stack)
        await log.start()
        runner = Runner(log, new_keyring(self.keys), sink, Health(), metrics)
        began, cpu = time.perf_counter(), time.process_time()
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while {one.partition: one.next_offset for one in runner.reports()} != self.ends:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.02)
        speed = self._speed(began, cpu)
        running.cancel()
        await asyncio.wait({running})
        await log.stop()
        return speed

    async def by_plain_loop(self) -> Speed:
        async with self.empty_database() as postgres:
            month = f"audit_v1_{utc_now():%Y_%m}"
            await postgres.execute(f"create table chancery.{month} partition of chancery.audit_v1 default")
            began, cpu = time.perf_counter(), time.process_time()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await plain_loop.project(
                    self.stack.kafka,
                    TOPICS.events,
                    new_keyring(self.keys),
                    self.stack.postgres_dsn,
                    self.ends,
                )
            speed = self._speed(began, cpu)
            self.rows.append(await digests(postgres, SAME))
            return speed

    def _speed(self, began: float, cpu: float) -> Speed:
        return Speed(
            per_second=self.events / (time.perf_counter() - began),
            per_cpu_second=self.events / (time.process_time() - cpu),
        )


def new_log(stack: StackInfo) -> KafkaLog:
    return KafkaLog(
        KafkaAccess(stack.kafka), TOPICS.events, PARTITIONS, timeout_seconds=10, between_reads="fetch"
    )


def new_keyring(keys: KafkaKeyStore) -> Keyring:
    return Keyring(keys, LocalKeyEncryption(KEY), MemoryKeyIndex())


@contextlib.contextmanager
def projectors_process(stack: StackInfo) -> Iterator[None]:
    settings = {
        **stack.settings,
        "CHANCERY_EVENTS_TOPIC": TOPICS.events,
        "CHANCERY_KEYS_TOPIC": TOPICS.keys,
        "CHANCERY_PUBLIC_TOPIC": TOPICS.public,
        "CHANCERY_PARTITIONS": str(PARTITIONS),
        "CHANCERY_KEY_ENCRYPTION_KEY": base64url(KEY),
    }
    command = (sys.executable, "-m", "cli.main", "serve", "projectors")
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)  # noqa: S603  # our own command
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


async def visible(bench: Bench, history: History, seconds: float) -> dict[str, float]:
    """Of commits that are written by hand, by a projectors process that has caught up."""
    with projectors_process(bench.stack):
        async with bench.empty_database() as postgres, watching(postgres) as watch:
            for partition, end in bench.ends.items():
                assert await watch.wait_for("audit", {partition: end - 1}, wait_seconds=PATIENCE_SECONDS)
            return await at_rates(history, watch, seconds)


async def measure(stack: StackInfo, people: int, rounds: int, seconds: float) -> dict[str, float]:
    async with open_admin(KafkaAccess(stack.kafka)) as admin:
        await create_topics(admin, TOPICS)
    log, keys = (
        new_log(stack),
        KafkaKeyStore(KafkaAccess(stack.kafka), TOPICS.keys, PARTITIONS, timeout_seconds=10),
    )
    await log.start()
    await keys.start()
    try:
        await write_genesis(log, utc_now)
        history = History(log, new_keyring(keys))
        await history.begin()
        events = await history.live(people, SESSIONS)
        ends = {number: await log.end(number) for number in range(PARTITIONS)}
        bench = Bench(stack=stack, keys=keys, ends=ends, events=events)
        ours, plain = [], []
        for number in range(rounds):
            if number % 2:
                plain.append(await bench.by_plain_loop())
            ours.append(await bench.into_tables())
            if not number % 2:
                plain.append(await bench.by_plain_loop())
        valkey = await bench.into_valkey()
        seen = await visible(bench, history, seconds)
    finally:
        await keys.stop()
        await log.stop()
    assert len(set(bench.rows)) == 1, f"not the same rows: {bench.rows}"
    ratios = [one.per_second / other.per_second for one, other in zip(ours, plain, strict=True)]
    return {
        "events": events,
        "events_per_second": round(statistics.median(one.per_second for one in ours)),
        "events_per_cpu_second": round(statistics.median(one.per_cpu_second for one in ours)),
        "plain_loop_per_second": round(statistics.median(one.per_second for one in plain)),
        "plain_loop_per_cpu_second": round(statistics.median(one.per_cpu_second for one in plain)),
        "ratio_to_plain_loop": round(statistics.median(ratios), 2),
        "valkey_events_per_second": round(valkey.per_second),
        "valkey_events_per_cpu_second": round(valkey.per_cpu_second),
        **seen,
    }


async def measure_all(stack: StackInfo, arguments: argparse.Namespace) -> dict[str, float]:
    found = await measure(stack, arguments.people, arguments.rounds, arguments.seconds)
    events = arguments.events
    for other in (relay_events_per_second, sdk_events_per_second, faust_events_per_second):
        found |= {name: value for name, value in (await other(stack, events)).items() if name != "events"}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--people", type=int, default=3000, help="14 events each")
    parser.add_argument("--rounds", type=int, default=5, help="of ours and the plain loop, who begin in turn")
    parser.add_argument("--seconds", type=float, default=10, help="of load while visibility is measured")
    parser.add_argument("--events", type=int, default=20_000, help="for relay, SDK and Faust")
    arguments = parser.parse_args()
    collect_seldom()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **free_port_variables()}
        stack = start_stack(Path(folder), environment, selection="infra", lifetime="caller")
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(measure_all(stack, arguments))
        finally:
            stop_stack(Path(folder))
    found |= by_commands_of_a_new_stack(os.environ, arguments.seconds)
    found["load"] = round(os.getloadavg()[0], 2)
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
