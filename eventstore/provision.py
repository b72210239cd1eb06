"""Makes the topics, and checks at every start that their settings cannot lose history.

The genesis of partition 0 fixes the log's id; the others repeat it. Two provisioners at once are safe: the
first genesis of a partition counts, a second one is void.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from eventstore.chain import ChainReader
from eventstore.commit import Genesis, encode
from eventstore.errors import AppendUnknownError, UnavailableError, UnsafeTopicError
from eventstore.log import Log
from runtime.clock import Clock
from runtime.kafka_admin import KafkaAdmin, TopicSpec
from runtime.settings import Settings

_KEEP_EVERYTHING = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
}
_KEEP_A_TAIL = {"cleanup.policy": "delete", "unclean.leader.election.enable": "false"}
"""Of the public topic: old events may go if its owner wants that, events between others never."""
_KEEP_LATEST = {"cleanup.policy": "compact", "unclean.leader.election.enable": "false"}
_BROKERS_TIME = {"message.timestamp.type": "LogAppendTime"}
"""Of new topics, so that a broker refuses no record of a process whose clock is wrong. Nothing here reads it."""
_GENESIS_TRIES = 5
_KNOWN_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    events: str
    keys: str
    public: str
    partitions: int
    replication_factor: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            events=settings.events_topic,
            keys=settings.keys_topic,
            public=settings.public_topic,
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
        )


def specs_of(topics: Topics) -> tuple[TopicSpec, ...]:
    """What is made; topics that somebody else makes should be like these."""
    in_sync = {"min.insync.replicas": str(max(1, topics.replication_factor - 1))}
    made = ((topics.events, _KEEP_EVERYTHING), (topics.keys, _KEEP_LATEST), (topics.public, _KEEP_EVERYTHING))
    return tuple(
        TopicSpec(
            name=name,
            partitions=topics.partitions,
            replication_factor=topics.replication_factor,
            settings={**settings, **_BROKERS_TIME, **in_sync},
        )
        for name, settings in made
    )


async def create_topics(admin: KafkaAdmin, topics: Topics) -> None:
    """Create what is missing, and return once it can be asked about; a topic that exists is left as it is."""
    specs = specs_of(topics)
    for spec in specs:
        await admin.create(spec)
    for spec in specs:
        await _until_known(admin, spec.name)


async def verify_topics(admin: KafkaAdmin, topics: Topics, *names: str) -> None:
    """Raise UnsafeTopicError with the setting to change, if one of these is missing or could lose what it holds."""
    for name in names:
        await _verify(admin, name, topics.partitions, demanded(topics)[name])


def demanded(topics: Topics) -> Mapping[str, Mapping[str, str]]:
    """By topic: the settings without which it could lose what it holds."""
    return {topics.events: _KEEP_EVERYTHING, topics.keys: _KEEP_LATEST, topics.public: _KEEP_A_TAIL}


async def write_genesis(log: Log, clock: Clock) -> str:
    """Give every partition its first record; the id of this log."""
    log_id = ""
    for partition in range(log.partitions):
        log_id = await _genesis(log, clock, partition, log_id)
    return log_id


async def _until_known(admin: KafkaAdmin, name: str) -> None:
    """A broker hears of a new topic a moment after it was made elsewhere, and says until then that there is none."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _KNOWN_SECONDS
    while await admin.partition_count(name) == 0:
        if loop.time() > until:
            raise UnavailableError(f"topic {name} was made, but no broker knows it yet")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _verify(admin: KafkaAdmin, name: str, partitions: int, wanted: Mapping[str, str]) -> None:
    count = await admin.partition_count(name)
    if count == 0:
        raise UnsafeTopicError(f"topic {name} does not exist; run `chancery provision`")
    if count != partitions:
        raise UnsafeTopicError(
            f"topic {name} has {count} partitions and CHANCERY_PARTITIONS says {partitions}; "
            "the number is fixed when the log is made"
        )
    _require(name, await admin.settings(name), wanted)


def _require(topic: str, actual: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        if actual.get(name) != value:
            raise UnsafeTopicError(
                f"topic {topic} has {name}={actual.get(name)}, which can lose history; set it to {value}"
            )


async def _genesis(log: Log, clock: Clock, partition: int, log_id: str) -> str:
    for _ in range(_GENESIS_TRIES):
        chain = await _first_records(log, partition)
        if chain.log_id is not None:
            if log_id not in ("", chain.log_id):
                raise UnsafeTopicError(
                    f"partition {partition} belongs to log {chain.log_id}, not to {log_id}"
                )
            return chain.log_id
        genesis = Genesis.of(
            log_id=log_id or str(uuid.uuid4()), partition=partition, partitions=log.partitions, at=clock()
        )
        try:
            await log.append(partition, b"genesis", encode(genesis))
        except AppendUnknownError:
            continue
    raise UnavailableError(f"the genesis of partition {partition} could not be written")


async def _first_records(log: Log, partition: int) -> ChainReader:
    """A chain that has read up to the partition's genesis, or to its end if there is none yet."""
    chain = ChainReader(partition, log.partitions)
    end = await log.end(partition)
    while chain.head.next_offset < end and chain.log_id is None:
        for record in await log.read(partition, chain.head.next_offset, wait_seconds=1.0):
            chain.admit(record)
            if chain.log_id is not None:
                break
    return chain
