"""Every kind of poison in the public topic before the risk worker: it says what it found, and counts what is good after it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from events.streams import new_id
from eventstore.provision import Topics
from localstack.stack import StackInfo
from projectors.metrics import Metrics
from projectors.risk.counting import Broker as Place
from projectors.risk.counting import sources_topic
from projectors.risk.places import SkippedError
from projectors.risk.rules import Limits
from projectors.risk.signals import Flaw
from projectors.risk.standstill import PATIENCE_SECONDS as STANDSTILL_SECONDS
from projectors.risk.standstill import StandstillError
from projectors.risk.topics import create_own_topics
from projectors.risk.worker import Worker
from projectors.system_commands import CommandApi
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.serving.answers import empty_answer
from tests.support.broker import Broker
from tests.support.command_server import Server, served
from tests.support.poisons import MARK, MEGABYTE
from tests.support.risk_poisons import RISK_POISONS, PublicFailure, failure
from tests.support.tasks import eventually

CLEAN = len(RISK_POISONS)
PARTITIONS = CLEAN + 1
FAILURES = 3
LIMITS = Limits(window=timedelta(days=1), failures=FAILURES, reuses=99, arrivals=99, accounts_of_source=99)
CONCLUDED_SECONDS = 60.0
PLACE_WORDS = 3


@dataclass(slots=True, kw_only=True)
class Scene:
    """A public topic with somebody's failures in each partition, as many as are too many; one of them was spoiled."""

    stack: StackInfo
    topics: Topics
    producer: AIOKafkaProducer
    accounts: Sequence[str] = field(default_factory=lambda: [new_id() for _ in range(PARTITIONS)])
    server: Server = field(default_factory=lambda: Server([empty_answer(204)]))
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    ends: list[Exception] = field(default_factory=list)
    """What it ended with, and was started again."""

    @property
    def place(self) -> Place:
        return Place(
            access=KafkaAccess(self.stack.kafka),
            group=f"risk-{self.topics.public}",
            public_topic=self.topics.public,
            partitions=PARTITIONS,
        )

    async def store(self, partition: int, record: PublicFailure, topic: str = "") -> None:
        await self.producer.send_and_wait(
            topic or self.topics.public,
            partition=partition,
            key=record.key,
            value=record.value,
            headers=record.pairs,
        )

    async def tell(self, partition: int, *seqs: int) -> None:
        for seq in seqs:
            await self.store(partition, failure(self.accounts[partition], partition, seq))

    async def work(self, made: type[Worker] = Worker) -> None:
        """A worker, started again whenever it ends, as every supervisor does."""
        async with served(self.server) as api:
            while True:
                await self._work_once(made, api)

    async def _work_once(self, made: type[Worker], api: CommandApi) -> None:
        try:
            await made(api, self.health, Metrics(self.registry)).run(self.place, LIMITS)
        except (SkippedError, StandstillError) as error:
            self.ends.append(error)
            self.registry = CollectorRegistry()

    def noticed(self) -> Counter[str]:
        return Counter(msgspec.json.decode(body)["account_id"] for body in self.server.bodies)

    async def has_noticed_all(self) -> bool:
        return self.noticed().keys() >= set(self.accounts)

    def flaws(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for metric in self.registry.collect():
            for one in metric.samples:
                if (
                    one.name == "chancery_risk_passed_over_total"
                    and one.labels["topic"] == self.topics.public
                ):
                    found[one.labels["flaw"]] += int(one.value)
        return found


@pytest.fixture
async def scene(projector_stack: StackInfo) -> AsyncIterator[Scene]:
    async with new_scene(projector_stack) as scene:
        yield scene


@asynccontextmanager
async def new_scene(stack: StackInfo) -> AsyncIterator[Scene]:
    topics = await Broker(stack.home, stack.kafka).new_topics(PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, max_request_size=2 * MEGABYTE)
    await producer.start()
    scene = Scene(stack=stack, topics=topics, producer=producer)
    try:
        await create_own_topics(
            scene.place.access,
            scene.place.group,
            partitions=PARTITIONS,
            replication_factor=1,
            window=LIMITS.window,
        )
        yield scene
    finally:
        await producer.stop()


async def lay_all(scene: Scene) -> None:
    for number in range(PARTITIONS):
        await scene.tell(number, 1, 2)
        if number < CLEAN:
            good = failure(scene.accounts[number], number, 3)
            await scene.store(number, RISK_POISONS[number].spoil(good))


@asynccontextmanager
async def at_work(scene: Scene, made: type[Worker] = Worker) -> AsyncIterator[list[Any]]:
    """The lines that it logs."""
    with capture_logs() as lines:
        task = asyncio.create_task(scene.work(made))
        try:
            yield lines
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), task


def faults(scene: Scene, lines: Sequence[Any]) -> Iterator[str]:
    """What is not as designed after all good events were told."""
    told = {line["place"]: line["flaw"] for line in lines if "place" in line}
    for number, kind in enumerate(RISK_POISONS):
        place = f"{scene.topics.public}, partition {number}, offset 2"
        if told.get(place) != kind.flaw:
            yield f"{kind.name}: said {told.get(place)}, not {kind.flaw}"
    expected = Counter(kind.flaw for kind in RISK_POISONS if kind.flaw is not None)
    if scene.flaws() != expected:
        yield f"counted {scene.flaws()}, not {expected}"
    if scene.noticed() != Counter(scene.accounts):
        yield f"concluded {scene.noticed().total()} times, not once of each of {PARTITIONS}"
    if MARK in str(lines):
        yield "repeats what it read"
    if scene.ends or scene.health.failing():
        yield f"ended with {scene.ends}, {scene.health.failing()}"


async def test_each_kind_of_poison_is_told_and_what_is_good_after_it_counts(scene: Scene) -> None:
    await lay_all(scene)
    async with at_work(scene) as lines:
        for number in range(PARTITIONS):
            await scene.tell(number, 4)
        await eventually(scene.has_noticed_all, within_seconds=CONCLUDED_SECONDS)
        assert list(faults(scene, lines)) == []
    print(f"poison: {CLEAN} kinds before the risk worker")  # noqa: T201  # the number of trials, for whoever runs it with -s
    assert CLEAN == 25


class SilentWorker(Worker):
    """The seeded bug: what it cannot count it does not tell."""

    def pass_over(self, tp: TP, offset: int, flaw: Flaw) -> None:
        """Say nothing."""


async def test_the_judge_sees_a_worker_that_passes_over_in_silence(scene: Scene) -> None:
    await lay_all(scene)
    async with at_work(scene, SilentWorker) as lines:
        for number in range(PARTITIONS):
            await scene.tell(number, 4)
        await eventually(scene.has_noticed_all, within_seconds=CONCLUDED_SECONDS)
        found = list(faults(scene, lines))
    flawed = [kind.name for kind in RISK_POISONS if kind.flaw is not None]
    assert {name for name in flawed if any(fault.startswith(f"{name}: ") for fault in found)} == set(flawed)


async def test_rubbish_in_the_workers_own_topic_is_told_and_passed_over(scene: Scene) -> None:
    own = sources_topic(scene.place.group)
    told = b'{"account_id":"a","session_id":"","at":1e300}'
    large = [
        msgspec.json.encode({"account_id": "a", "session_id": "s", "at": 1.0, field: "x" * 201})
        for field in ("account_id", "session_id")
    ]
    rubbish: list[tuple[bytes | None, bytes | None]] = [
        *((b"net", value) for value in (b"{", b"", None, b'{"x":' + b"[" * MEGABYTE, told, *large)),
        *((key, told.replace(b"1e300", b"1")) for key in (None, b"n" * 201)),
    ]

    async def are_told() -> bool:
        name, labels = "chancery_risk_passed_over_total", {"topic": own, "flaw": "unreadable"}
        return scene.registry.get_sample_value(name, labels) == len(rubbish)

    async with at_work(scene):
        for key, value in rubbish:
            await scene.store(0, PublicFailure(key=key, value=value, headers={}), own)
        await eventually(are_told, within_seconds=CONCLUDED_SECONDS)
        for number in range(PARTITIONS):
            await scene.tell(number, *range(FAILURES))
        await eventually(scene.has_noticed_all, within_seconds=CONCLUDED_SECONDS)
    assert scene.ends == []


async def test_an_offset_that_a_foreign_transaction_has_used_up_stops_the_worker_once(scene: Scene) -> None:
    """The end of a transaction has an offset and is no record, so it looks as if Faust had skipped an event."""
    for number in range(PARTITIONS):
        await scene.tell(number, 1, 2)
    foreign = AIOKafkaProducer(
        bootstrap_servers=scene.stack.kafka, transactional_id=f"foreign-{scene.topics.public}"
    )
    await foreign.start()
    async with foreign.transaction():
        for number in (0, 1):
            await foreign.send(scene.topics.public, partition=number, value=b"{}")
    await foreign.stop()
    async with at_work(scene):
        for number in range(1, PARTITIONS):
            await scene.tell(number, 4)
        await asyncio.sleep(
            STANDSTILL_SECONDS + 5
        )  # in which a partition that ends so would count as forgotten
        await scene.tell(0, 4)
        await eventually(scene.has_noticed_all, within_seconds=CONCLUDED_SECONDS)
    assert scene.noticed() == Counter(scene.accounts)
    assert [type(error) for error in scene.ends] == [SkippedError]
