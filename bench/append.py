"""What the chained log costs: the writer against a bare idempotent produce, and commands over HTTP.

`python -m bench.append --json` starts a stack of its own and prints one JSON object as its last line. The baseline
and the writer take turns on records of the same bytes, so that whatever else the machine does meets both.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.commands import argon2_bound, measure_commands
from domain.aggregates import AGGREGATES
from domain.identifier import FailUnknownSignIn
from events.streams import identifier_stream, partition_of
from eventstore.commit import Actor
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.provision import Topics, create_topics, write_genesis
from eventstore.snapshots import MemorySnapshots
from eventstore.writer import Draft, Limits, Origin, Stores, Writer
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.clock import utc_now
from runtime.collector import collect_seldom
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin

ORIGIN = Origin(actor=Actor(kind="system", id="bench"))
RECORD_BYTES = 420
NEVER_REFUSED = {
    f"CHANCERY_LIMIT_ADDRESS_{name}": "1000000/60" for name in ("SIGN_UPS", "SIGN_INS", "CODES", "TOKENS")
}
"""All calls come from one address. They are counted, because that is part of what a call costs."""
"""About what the commit of one event without sealed fields takes."""
ROUNDS = 5
TOTALS = {1: 400, 16: 4000, 256: 12_000}
STREAMS = [identifier_stream(number.to_bytes(4, "big") + bytes(28)) for number in range(0, 1 << 32, 1 << 24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    per_second: float
    p50_ms: float
    p99_ms: float
    per_cpu_second: float


async def _measure(act: Callable[[str], Awaitable[object]], concurrent: int) -> Round:
    times: list[float] = []
    total = TOTALS[concurrent]

    async def one_after_the_other(first: int) -> None:
        for number in range(total // concurrent):
            began = time.perf_counter()
            await act(STREAMS[(first + number * concurrent) % len(STREAMS)])
            times.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_the_other(first) for first in range(concurrent)))
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    times.sort()
    return Round(
        per_second=len(times) / elapsed,
        p50_ms=1000 * times[len(times) // 2],
        p99_ms=1000 * times[int(len(times) * 0.99)],
        per_cpu_second=len(times) / used,
    )


async def _compare(bootstrap: str, concurrent: int, partitions: int) -> dict[str, Any]:
    name = f"bench.{concurrent}.{partitions}"
    topics = Topics(
        events=name,
        keys=f"{name}.keys",
        public=f"{name}.public",
        partitions=partitions,
        replication_factor=1,
    )
    async with open_admin(KafkaAccess(bootstrap)) as admin:
        await create_topics(admin, topics)
        await create_topics(admin, Topics(**{**asdict(topics), "events": f"{name}.bare"}))
    log = KafkaLog(KafkaAccess(bootstrap), topics.events, partitions)
    bare = KafkaLog(KafkaAccess(bootstrap), f"{name}.bare", partitions)
    store = KafkaKeyStore(KafkaAccess(bootstrap), topics.keys, partitions)
    for part in (log, bare, store):
        await part.start()
    await write_genesis(log, utc_now)
    keyring = Keyring(store, LocalKeyEncryption(bytes(32)), MemoryKeyIndex())
    stores = Stores(log=log, keyring=keyring, snapshots=MemorySnapshots())
    writer = Writer(stores, AGGREGATES, utc_now, Limits(deadline_seconds=10))

    async def command(stream: str) -> None:
        def decide(draft: Draft) -> None:
            draft.decide(stream, FailUnknownSignIn())

        await writer.transact(stream, decide, ORIGIN)

    async def produce(stream: str) -> None:
        await bare.append(partition_of(stream, partitions), stream.encode(), b"v" * RECORD_BYTES)

    rounds = [
        (await _measure(produce, concurrent), await _measure(command, concurrent)) for _ in range(ROUNDS + 1)
    ][1:]
    await writer.close()
    for part in (log, bare, store):
        await part.stop()
    return {"concurrent": concurrent, "partitions": partitions, **_ratios(rounds)}


def _ratios(rounds: list[tuple[Round, Round]]) -> dict[str, Any]:
    """The median of each figure; ratios are taken within a round."""

    def median(side: int, name: str) -> float:
        return float(statistics.median(asdict(pair[side])[name] for pair in rounds))

    return {
        "commits_per_second": round(median(1, "per_second")),
        "produce_per_second": round(median(0, "per_second")),
        "throughput_ratio": round(statistics.median(c.per_second / p.per_second for p, c in rounds), 3),
        "p50_ratio": round(statistics.median(c.p50_ms / p.p50_ms for p, c in rounds), 3),
        "p50_ms": round(median(1, "p50_ms"), 2),
        "p99_ms": round(median(1, "p99_ms"), 2),
        "commits_per_cpu_second": round(median(1, "per_cpu_second")),
        "produce_per_cpu_second": round(median(0, "per_cpu_second")),
    }


async def _bench(stack: StackInfo) -> dict[str, Any]:
    rows = []
    for partitions in (1, 8):
        for concurrent in TOTALS:
            rows.append(await _compare(stack.kafka, concurrent, partitions))
            print(rows[-1], flush=True)
    return {"rows": rows, "over_http": await measure_commands(stack)}


def _summary(found: dict[str, Any], bound: dict[str, float]) -> dict[str, Any]:
    """One partition, as DESIGN §8 has it: throughput at the widest, latency of a single command."""
    rows, http = found["rows"], found["over_http"]
    single, widest = rows[0], rows[len(TOTALS) - 1]
    return {
        "throughput_ratio": widest["throughput_ratio"],
        "p50_ratio": single["p50_ratio"],
        "p99_ms": widest["p99_ms"],
        "commits_per_cpu_second": widest["commits_per_cpu_second"],
        "refresh_per_cpu_second": http["refresh"]["per_cpu_second"],
        "logins_vs_argon2_bound": round(http["login"]["per_cpu_second"] / bound["per_cpu_second"], 3),
        "wrong_answers": sum(int(row["wrong"]) for row in http.values()),
        "argon2_bound": bound,
        "load": round(os.getloadavg()[0], 2),
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    collect_seldom()
    bound = argon2_bound()
    print({"argon2_bound": bound}, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {**os.environ, **NEVER_REFUSED, **free_port_variables(), "CHANCERY_SIGNUP": "open"}
        stack = start_stack(home, environment, lifetime="caller")
        try:
            found = asyncio.run(_bench(stack))
        finally:
            stop_stack(home)
    if arguments.json:
        print(json.dumps(_summary(found, bound)))


if __name__ == "__main__":
    main()
