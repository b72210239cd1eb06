"""`replay verify` on a real Kafka: whole logs, tampered ones, and what it says while it reads."""

import random
import uuid
from collections.abc import Sequence

import pytest

from eventstore.commit import Record
from eventstore.kafka_log import KafkaLog
from eventstore.provision import Topics, create_topics
from localstack.stack import StackInfo
from replay.partition_check import SavedHead
from replay.verify import Progress, Proof, Wanted, verify
from runtime.kafka import KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from tests.support.broker import nobody_there, opened
from tests.support.histories import COMMITS, TAMPERINGS, honest, numbered


async def stored(stack: StackInfo, records: Sequence[Record]) -> Wanted:
    """A topic of its own that holds these records in its one partition."""
    name = uuid.uuid4().hex[:12]
    topics = Topics(
        events=f"events-{name}",
        keys=f"keys-{name}",
        public=f"public-{name}",
        partitions=1,
        replication_factor=1,
    )
    async with open_admin(KafkaAccess(stack.kafka)) as admin:
        await create_topics(admin, topics)
    async with opened(KafkaLog(KafkaAccess(stack.kafka), topics.events, 1, timeout_seconds=10)) as log:
        for record in records:
            await log.append(0, record.key or b"", record.value or b"")
    return Wanted(access=KafkaAccess(stack.kafka), topic=topics.events, partitions=1, heads={})


async def proven(wanted: Wanted) -> tuple[Proof, list[Progress]]:
    seen: list[Progress] = []
    return await verify(wanted, seen.append), seen


async def test_a_whole_log_is_proven_with_its_head(projector_stack: StackInfo) -> None:
    history = honest(3)
    proof, seen = await proven(await stored(projector_stack, history.records))
    (report,) = proof.partitions
    assert (proof.broken, report.seq, report.hash) == ({}, COMMITS, history.last_hash)
    assert (seen[-1].read, seen[-1].total) == (len(history.records), len(history.records))


@pytest.mark.parametrize("kind", ["flip", "drop and copy", "swap", "rewrite"])
async def test_a_tampered_log_is_broken_where_it_was_tampered_with(
    projector_stack: StackInfo, kind: str
) -> None:
    history = honest(4)
    at = history.counted[7]
    tampered = numbered(TAMPERINGS[kind](history, at, random.Random(1)))
    proof, _ = await proven(await stored(projector_stack, tampered))
    assert at <= proof.broken[0].offset <= history.counted[8]


async def test_a_missing_tail_is_found_by_the_saved_head(projector_stack: StackInfo) -> None:
    history = honest(5)
    wanted = await stored(projector_stack, history.records[:-5])
    heads = {0: SavedHead(seq=COMMITS, hash=history.last_hash)}
    proof = await verify(
        Wanted(access=wanted.access, topic=wanted.topic, partitions=1, heads=heads), lambda _: None
    )
    assert proof.broken[0].offset == len(history.records) - 5


async def test_a_broker_that_is_not_there_is_no_broken_log() -> None:
    wanted = Wanted(access=KafkaAccess(nobody_there()), topic="t", partitions=1, heads={})
    with pytest.raises(KafkaUnavailableError):
        await verify(wanted, lambda _: None)
