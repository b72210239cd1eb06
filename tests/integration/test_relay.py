"""The relay on a real Kafka and a real database: every event once in order, whatever happens to it or the topic."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from events.account import (
    AccountUnlocked,
    PasswordChanged,
    ProfileChanged,
    SignInFailed,
    SignUpRepeated,
)
from events.identifier import UnknownSignInFailed
from eventstore.memory_log import MemoryLog
from localstack.stack import StackInfo
from projectors.metrics import Metrics
from projectors.public_topic import WINDOW, PublicTopic
from projectors.relay import Relay
from projectors.turns import Sharing
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.postgres import Postgres
from tests.support.broker import Broker
from tests.support.examples import NOON
from tests.support.feed import Feed, expected_feed, feed_faults, read_feed, repeated
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import counted_commits, new_log

PARTITIONS = 2


@dataclass(slots=True, kw_only=True)
class Stage:
    """A log in memory, which can fail on demand, and the real topic that it is relayed to."""

    broker: Broker
    topic: str
    postgres: Postgres
    log: MemoryLog
    scribe: Scribe
    keys: KeyTopic
    health: Health = field(default_factory=Health)

    async def relay(self, *, log: MemoryLog | None = None, health: Health | None = None) -> None:
        """Run one until cancelled."""
        public = PublicTopic(KafkaAccess(self.broker.bootstrap), self.topic, PARTITIONS)
        await public.start()
        metrics = Metrics(CollectorRegistry())
        try:
            await Relay(
                log or self.log, public, Sharing(postgres=self.postgres), health or self.health, metrics
            ).run()
        finally:
            await public.stop()

    async def feed(self) -> Feed:
        return await read_feed(self.broker.bootstrap, self.topic, PARTITIONS)

    async def faults(self) -> list[str]:
        counted = [c for n in range(PARTITIONS) for c in await counted_commits(self.log, n)]
        return feed_faults(expected_feed(counted), await self.feed())

    async def is_told(self) -> bool:
        return not await self.faults()

    async def until_told(self) -> None:
        await eventually(self.is_told, within_seconds=30)

    async def someone_lives(self, partition: int = 0) -> str:
        """A sign-up in one commit with a session, then a commit that is private, then more; their stream."""
        account_id = account_id_in(partition)
        stream, session = stream_of(account_id), session_of(account_id)
        await self.scribe.write(stream, registered(account_id), session)
        await self.scribe.write(stream, SignUpRepeated(notice_id="n", email="ada@example.com"))
        await self.scribe.write(stream, SignInFailed(cause="wrong-password", failed_at=NOON, ip="10.0.0.1"))
        await self.scribe.write(stream, PasswordChanged(password_hash="hash"), revoked(session))
        return stream

    async def halt(self, partition: int = 0) -> str:
        """Why it halted."""

        async def has_halted() -> bool:
            return "halted" in self.health.failing().get(f"relay-{partition}", "")

        await eventually(has_halted, within_seconds=30)
        return self.health.failing()[f"relay-{partition}"]


@pytest.fixture
async def stage(projector_stack: StackInfo, postgres: Postgres) -> Stage:
    broker = Broker(projector_stack.home, projector_stack.kafka)
    topics = await broker.new_topics(PARTITIONS)
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    return Stage(broker=broker, topic=topics.public, postgres=postgres, log=log, scribe=scribe, keys=keys)


async def test_what_happened_is_told_in_order_with_all_its_headers(stage: Stage) -> None:
    account = (await stage.someone_lives()).removeprefix("account-")
    async with running(stage.relay()):
        await stage.until_told()
    first, second, failed, *_ = (await stage.feed())[0]
    assert {**first.headers, "chancery_head": "", "ce_source": "", "ce_time": ""} == {
        "ce_specversion": "1.0",
        "ce_id": "0:1:0",
        "ce_source": "",
        "ce_type": "chancery.account.registered.v1",
        "ce_subject": account,
        "ce_time": "",
        "ce_dataschema": "urn:chancery:schema:account.registered.v1",
        "ce_position": "0:1",
        "ce_partitionkey": account,
        "ce_sequence": "00000000000000000001",
        "content-type": "application/json",
        "chancery_head": "",
    }
    assert first.headers["ce_source"].startswith("urn:chancery:log:")
    assert first.key == account
    assert (second.id, second.headers["ce_sequence"]) == ("0:1:1", "00000000000000000002")
    assert (failed.id, failed.headers["ce_position"]) == ("0:3:0", "0:3")


async def test_a_relay_that_starts_again_goes_on_where_the_topic_ends(stage: Stage) -> None:
    for _ in range(3):
        await stage.someone_lives(0)
        await stage.someone_lives(1)
        async with running(stage.relay()):
            await stage.until_told()
    feed = await stage.feed()
    assert [len(feed[number]) for number in range(PARTITIONS)] == [15, 15]


async def test_a_relay_that_stopped_within_a_commit_goes_on_within_it(stage: Stage) -> None:
    """Of five events in one commit the topic holds two, as if the batch had ended there."""
    account_id = account_id_in(0)
    stream = stream_of(account_id)
    private = SignUpRepeated(notice_id="n", email="ada@example.com")
    facts = [registered(account_id), private, session_of(account_id), private, ProfileChanged()]
    await stage.scribe.write(stream, *facts)
    async with running(stage.relay()):
        await stage.until_told()
    whole = (await stage.feed())[0]
    assert [record.id for record in whole] == ["0:1:0", "0:1:2", "0:1:4"]
    topics = await stage.broker.new_topics(PARTITIONS)
    stage.topic = topics.public
    await produce(stage, [(r.key.encode(), r.value, dict(r.headers)) for r in whole[:2]])
    await stage.scribe.write(stream, AccountUnlocked(unlocked_at=NOON))
    async with running(stage.relay()):
        await stage.until_told()
    assert repeated(await stage.feed()) == 0


async def test_a_long_log_is_told_in_many_batches(stage: Stage) -> None:
    stream = await stage.someone_lives()
    for _ in range(40):
        await stage.scribe.write(stream, *[ProfileChanged() for _ in range(50)])
    async with running(stage.relay()):
        await stage.until_told()
    assert repeated(await stage.feed()) == 0
    assert len((await stage.feed())[0]) == 2005


async def test_two_relays_share_the_work_and_one_takes_over(stage: Stage) -> None:
    stream = await stage.someone_lives()
    async with running(stage.relay()):
        async with running(stage.relay()):
            await stage.someone_lives(1)
            await stage.until_told()
        await stage.scribe.write(stream, ProfileChanged())
        await stage.until_told()
    assert repeated(await stage.feed()) == 0


async def test_relays_that_know_nothing_of_each_other_repeat_and_never_disorder(
    stage: Stage, projector_stack: StackInfo
) -> None:
    """Their locks are in two databases, so both publish at once: as bad as a zombie can be."""
    other = await Postgres.open(projector_stack.postgres_dsn)
    twin = replace(stage, postgres=other, health=Health())
    stream = await stage.someone_lives()
    try:
        async with running(stage.relay(), twin.relay()):
            for _ in range(30):
                await stage.scribe.write(stream, ProfileChanged(), ProfileChanged())
                await asyncio.sleep(0.01)  # so that both are awake and write one after the other
            await stage.until_told()
        await stage.scribe.write(stream, ProfileChanged())
        async with running(stage.relay()):
            await stage.until_told()
    finally:
        await other.close()
    assert repeated(await stage.feed()) > 0


async def test_a_late_repetition_at_the_end_is_not_taken_for_the_end(stage: Stage) -> None:
    stream = await stage.someone_lives()
    async with running(stage.relay()):
        await stage.until_told()
    late = (await stage.feed())[0][:2]
    await produce(stage, [(r.key.encode(), r.value, dict(r.headers)) for r in late])
    await stage.scribe.write(stream, ProfileChanged())
    async with running(stage.relay()):
        await stage.until_told()
    assert repeated(await stage.feed()) == 2


@pytest.mark.parametrize("count", [1, WINDOW + 5])
async def test_records_of_others_in_the_topic_are_passed_over(stage: Stage, count: int) -> None:
    await stage.someone_lives()
    async with running(stage.relay()):
        await stage.until_told()
    foreign = {"ce_id": "7:7:7", "ce_sequence": "many", "ce_source": "elsewhere"}
    await produce(stage, [(b"k", b"{}", foreign if n % 2 else {}) for n in range(count)])
    await stage.someone_lives()
    async with running(stage.relay()):

        async def is_told() -> bool:
            feed = await stage.feed()
            ours = {n: [r for r in feed[n] if r.id != "7:7:7"] for n in feed}
            counted = [c for n in range(PARTITIONS) for c in await counted_commits(stage.log, n)]
            return not feed_faults(expected_feed(counted), ours)

        await eventually(is_told, within_seconds=30)


async def test_a_topic_that_retention_emptied_halts_with_a_sentence(stage: Stage) -> None:
    await stage.someone_lives()
    async with running(stage.relay()):
        await stage.until_told()
    await delete_records(stage, before=5)
    async with running(stage.relay()):
        assert await stage.halt() == (
            f"halted at partition 0, offset 5: topic {stage.topic} holds no event any more that says how far it "
            "came. Delete the topic and run `chancery provision` to publish everything anew; keep a longer retention"
        )
        await stage.someone_lives(1)
        await eventually(lambda: has_events(stage, 1, 5))
    assert (await stage.feed())[0] == []


async def test_retention_that_leaves_the_end_harms_nobody(stage: Stage) -> None:
    await stage.someone_lives()
    async with running(stage.relay()):
        await stage.until_told()
    await delete_records(stage, before=4)
    await stage.someone_lives()
    async with running(stage.relay()):
        await eventually(lambda: has_events(stage, 0, 6))
    assert [record.headers["ce_sequence"][-2:] for record in (await stage.feed())[0]] == [
        "05", "06", "07", "08", "09", "10"
    ]  # fmt: skip


async def has_events(stage: Stage, partition: int, count: int) -> bool:
    return len((await stage.feed())[partition]) == count


async def test_a_topic_of_another_log_halts(stage: Stage) -> None:
    await stage.someone_lives()
    async with running(stage.relay()):
        await stage.until_told()
    other = await new_log(PARTITIONS)
    async with running(stage.relay(log=other)):
        assert "the public topic holds events of urn:chancery:log:" in await stage.halt()
    assert await stage.faults() == []


async def test_a_log_that_is_older_than_the_topic_halts(stage: Stage) -> None:
    await stage.someone_lives()
    old = MemoryLog(PARTITIONS)
    for number in range(PARTITIONS):
        for record in stage.log.records(number)[:3]:
            assert record.key is not None
            assert record.value is not None
            old.store(number, record.key, record.value)
    async with running(stage.relay()):
        await stage.until_told()
    async with running(stage.relay(log=old)):
        assert (
            "the public topic holds events up to commit 0:4, which this log does not have"
            in await stage.halt()
        )


async def test_a_log_with_other_offsets_is_found_its_way_in(stage: Stage) -> None:
    """A mirror without the void records: the commit is found by its hash."""
    stream = await stage.someone_lives()
    for number in (1, 2, 2, 3):
        record = stage.log.records(0)[number]
        assert record.key is not None
        assert record.value is not None
        stage.log.store(0, record.key, record.value)
    mirror = MemoryLog(PARTITIONS)
    await stage.scribe.write(stream, ProfileChanged(), ProfileChanged())
    async with running(stage.relay()):
        await stage.until_told()
    await stage.scribe.write(stream, ProfileChanged())
    counted = {c.offset for c in await counted_commits(stage.log)}
    for number in range(PARTITIONS):
        for record in stage.log.records(number):
            if record.offset == 0 or record.offset in counted:
                assert record.key is not None
                assert record.value is not None
                mirror.store(number, record.key, record.value)
    async with running(stage.relay(log=mirror)):
        await stage.until_told()
    assert repeated(await stage.feed()) == 0


async def test_a_record_that_is_none_halts_its_partition_and_no_other(stage: Stage) -> None:
    await stage.someone_lives()
    stage.log.store(0, b"account-aa", b"{not json")
    async with running(stage.relay()):
        assert "halted at partition 0, offset 5: not a record of Chancery" in await stage.halt()
        await stage.someone_lives(1)
        await eventually(lambda: has_events(stage, 1, 5))
    assert len((await stage.feed())[0]) == 5


async def test_erased_people_are_told_of_and_what_was_sealed_is_not(stage: Stage) -> None:
    stream = await stage.someone_lives()
    stage.keys.erase(stream)
    await stage.scribe.write("identifier-aa", UnknownSignInFailed(cause="unknown"))
    async with running(stage.relay()):
        await stage.until_told()
    text = "".join(f"{r.key} {r.value.decode()} {r.headers}" for r in (await stage.feed())[0])
    assert not [
        secret
        for secret in ("example.com", "Ada", "hash", "10.0.0.1", "127.0.0.1", "identifier-")
        if secret in text
    ]


async def test_a_broker_that_dies_or_hangs_loses_and_disorders_nothing(stage: Stage) -> None:
    stream = await stage.someone_lives()
    writing = asyncio.Event()

    async def keep_writing() -> None:
        while not writing.is_set():
            await stage.scribe.write(stream, ProfileChanged(), ProfileChanged())
            await asyncio.sleep(0.005)  # a steady load that outlives the faults

    async with running(stage.relay()):
        load = asyncio.create_task(keep_writing())
        await eventually(lambda: grows(stage))
        async with stage.broker.killed():
            pass
        async with stage.broker.hanging():
            await asyncio.sleep(3)  # longer than a request may take
        writing.set()
        await load
        await stage.until_told()
    async with running(stage.relay()):
        await asyncio.sleep(0.5)  # a second life that finds nothing to do
    assert await stage.faults() == []


async def grows(stage: Stage) -> bool:
    return len((await stage.feed())[0]) > 20


async def produce(stage: Stage, records: list[tuple[bytes, bytes, dict[str, str]]]) -> None:
    """As somebody would who may write to the topic and is not the relay; into partition 0."""
    producer = AIOKafkaProducer(bootstrap_servers=stage.broker.bootstrap)
    await producer.start()
    try:
        for key, value, headers in records:
            encoded = [(name, text.encode()) for name, text in headers.items()]
            await producer.send(stage.topic, value, key=key, partition=0, headers=encoded)
    finally:
        await producer.stop()


async def delete_records(stage: Stage, *, before: int) -> None:
    """What retention does, at once; in partition 0."""
    client = AIOKafkaAdminClient(bootstrap_servers=stage.broker.bootstrap)
    await client.start()
    try:
        wanted = {TopicPartition(stage.topic, 0): RecordsToDelete(before_offset=before)}
        await client.delete_records(wanted)
    finally:
        await client.close()
