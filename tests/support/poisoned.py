"""Every consumer of the log before a poisoned one: how it runs, what it took in, what it says of itself; and a judge."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import redis
from prometheus_client import CollectorRegistry

from domain.account_state import Absent
from eventstore.errors import CorruptLogError
from localstack.stack import StackInfo
from projectors.metrics import Metrics
from projectors.public_topic import PublicTopic
from projectors.relay import Relay
from projectors.runner import Runner
from projectors.turns import Sharing
from projectors.valkey_v1 import ValkeyV1
from readmodels import valkey_keys
from readmodels.tables import create_tables
from replay.partition_check import BrokenLogError, PartitionCheck
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.broker import Broker
from tests.support.building import new_tables
from tests.support.feed import read_feed
from tests.support.mailers import new_mailer
from tests.support.people import stream_of
from tests.support.poisons import MARK, POISONS, Scene
from tests.support.post import post_box
from tests.support.tasks import running
from tests.support.writers import new_writer

LONGEST_REASON = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    stack: StackInfo
    postgres: Postgres
    valkey: Valkey
    valkey_admin: "redis.Redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A consumer at work. `taken` are the account ids that it has applied, `failing` what its health says by partition.

    `taken` is None for who only judges. `halted` is what its metric counts, None if it has none.
    """

    name: str
    taken: Callable[[], Awaitable[set[str]]] | None
    failing: Callable[[], Awaitable[dict[int, str]]]
    halted: Callable[[], float | None] = lambda: None


def _by_partition(health: Health, consumer: str) -> Callable[[], Awaitable[dict[int, str]]]:
    async def failing() -> dict[int, str]:
        prefix = f"{consumer}-"
        parts = ((part.removeprefix(prefix), why) for part, why in health.failing().items())
        return {int(number): why for number, why in parts if number.isdigit()}

    return failing


def _halted(registry: CollectorRegistry, consumer: str) -> Callable[[], float | None]:
    labels = {"consumer": consumer}
    return lambda: registry.get_sample_value("chancery_projector_halted_partitions", labels) or 0.0


@asynccontextmanager
async def tables(scene: Scene, stores: Stores, made: type[Runner] = Runner) -> AsyncIterator[Watched]:
    health, registry = Health(), CollectorRegistry()
    runner = made(scene.log, scene.keys.keyring(), new_tables(stores.postgres), health, Metrics(registry))

    await create_tables(stores.postgres)

    async def taken() -> set[str]:
        rows = await stores.postgres.fetch("select distinct account_id from chancery.sessions_v1")
        return {row["account_id"] for row in rows}

    async with running(runner.run()):
        yield Watched(
            name="tables",
            taken=taken,
            failing=_by_partition(health, "tables"),
            halted=_halted(registry, "tables"),
        )


@asynccontextmanager
async def valkey(scene: Scene, stores: Stores) -> AsyncIterator[Watched]:
    health, registry = Health(), CollectorRegistry()
    metrics = Metrics(registry)
    sink = ValkeyV1(stores.valkey, metrics, partitions=scene.log.partitions)
    runner = Runner(scene.log, scene.keys.keyring(), sink, health, metrics)

    async def taken() -> set[str]:
        keys = stores.valkey_admin.keys(f"{valkey_keys.SESSIONS}*")
        return {str(stores.valkey_admin.hget(key, "account_id")) for key in keys}

    async with running(runner.run()):
        yield Watched(
            name="valkey",
            taken=taken,
            failing=_by_partition(health, sink.name),
            halted=_halted(registry, sink.name),
        )


@asynccontextmanager
async def mailer(scene: Scene, stores: Stores) -> AsyncIterator[Watched]:
    health, registry = Health(), CollectorRegistry()

    async def taken() -> set[str]:
        return {mail.to.partition("@")[0] for mail in box.taken}

    async with post_box() as box:
        worker = new_mailer(scene.log, scene.keys, stores.postgres, box.port, health, registry)
        async with running(worker.run()):
            yield Watched(
                name="mailer",
                taken=taken,
                failing=_by_partition(health, "mailer"),
                halted=_halted(registry, "mailer"),
            )


@asynccontextmanager
async def relay(scene: Scene, stores: Stores) -> AsyncIterator[Watched]:
    health, registry = Health(), CollectorRegistry()
    partitions = scene.log.partitions
    topic = (await Broker(stores.stack.home, stores.stack.kafka).new_topics(partitions)).public
    public = PublicTopic(KafkaAccess(stores.stack.kafka), topic, partitions)
    await public.start()
    worker = Relay(scene.log, public, Sharing(postgres=stores.postgres), health, Metrics(registry))

    async def taken() -> set[str]:
        feed = await read_feed(stores.stack.kafka, topic, partitions)
        return {record.key for records in feed.values() for record in records}

    try:
        async with running(worker.run()):
            yield Watched(
                name="relay",
                taken=taken,
                failing=_by_partition(health, "relay"),
                halted=_halted(registry, "relay"),
            )
    finally:
        await public.stop()


@asynccontextmanager
async def writer(scene: Scene, _: Stores) -> AsyncIterator[Watched]:
    """What it took in is what it would decide on. Asked again, it says the same without reading again."""
    own = new_writer(scene.log, scene.keys)

    async def failing() -> dict[int, str]:
        halted = await own.catch_up()
        return {number: f"halted at {why}" for number, why in halted.items()}

    async def taken() -> set[str]:
        found = set()
        for number in scene.after:
            for account_id in scene.before[number] | scene.after[number]:
                stream = stream_of(account_id)
                try:
                    await own.pin(stream)
                except CorruptLogError:  # halted, and nothing of the stream was read before
                    continue
                if not isinstance(own.pinned_state(stream), Absent):
                    found.add(account_id)
        return found

    yield Watched(name="writer", taken=taken, failing=failing)
    await own.close()


@asynccontextmanager
async def verify(scene: Scene, _: Stores) -> AsyncIterator[Watched]:
    async def failing() -> dict[int, str]:
        found = {}
        for number in scene.after:
            check = PartitionCheck(partition=number, partitions=scene.log.partitions)
            try:
                for record in scene.log.records(number):
                    check.feed(record.offset, record.key, record.value)
            except BrokenLogError:
                pass
            broken = check.report().broken
            if broken is not None:
                found[number] = f"halted at partition {number}, offset {broken.offset}: {broken.reason}"
        return found

    yield Watched(name="verify", taken=None, failing=failing)


CONSUMERS: Mapping[str, Callable[[Scene, Stores], AbstractAsyncContextManager[Watched]]] = {
    "writer": writer,
    "tables": tables,
    "valkey": valkey,
    "mailer": mailer,
    "relay": relay,
    "verify": verify,
}


async def faults(watched: Watched, scene: Scene) -> list[str]:
    """Every cell of this consumer that is not as designed, and why."""
    failing = await watched.failing()
    taken = None if watched.taken is None else await watched.taken()
    found = []
    for number in scene.after:
        name = POISONS[number].name if number < len(POISONS) else "none"
        verdict = POISONS[number].verdict_of(watched.name) if number < len(POISONS) else "void"
        expected = scene.before[number] | (set() if verdict == "halts" else scene.after[number])
        there = expected if taken is None else taken & (scene.before[number] | scene.after[number])
        reason = failing.get(number, "")
        found += [f"{watched.name} at {name}: {why}" for why in _faults_of(verdict, scene, number, reason)]
        if there != expected:
            found.append(f"{watched.name} at {name}: took {len(there)} sign-ups, not these {len(expected)}")
    return found


def _faults_of(verdict: str, scene: Scene, number: int, reason: str) -> Iterable[str]:
    if verdict != "halts":
        if reason:
            yield f"does not go on: {reason[:LONGEST_REASON]}"
        return
    if not reason.startswith(f"halted at partition {number}, offset {scene.offsets[number]}: "):
        yield f"does not say where it halted: {reason[:LONGEST_REASON]!r}"
    if len(reason) > LONGEST_REASON or MARK in reason:
        yield f"repeats what it read: {reason[:LONGEST_REASON]!r}"
