"""A subscriber's place as a commit in Kafka, for services without a database of their own: at least once.

A commit is made after the handlers of all events before it have returned, so none is lost. What was handled after the
last commit is handled again by whoever goes on after a crash. Within a process, nothing is handled twice.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError

from chancery_sdk.checkpoints import (
    Checkpoint,
    Checkpoints,
    DeadLetter,
    NoDeadLettersError,
    OutrunError,
    StoreUnavailableError,
)
from chancery_sdk.events import Event, Place
from chancery_sdk.kafka import ANSWER_SECONDS, FAILURES, TOPIC, partition_numbers, stop_consumer

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """`note` is the metadata of the commit: what else is to be known at this offset."""

    offset: int
    note: str


class Commits(Protocol):
    """The committed offsets of a consumer group. StoreUnavailableError if the broker does not answer."""

    async def read(self, partition: int) -> Committed | None: ...

    async def write(self, partition: int, committed: Committed) -> None:
        """OutrunError if the group gave the partition to somebody else."""
        ...


@dataclass(slots=True)
class Handled:
    """What is committed once everything in it was handled."""

    places: dict[int, Checkpoint] = field(default_factory=dict)


class KafkaCheckpoints(Checkpoints[Handled]):
    """What handlers get as `tx` is of no use to them. An event that they refuse again and again halts its partition."""

    takes_back = False

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    def require_room(self, partitions: int) -> None:
        """There is nothing to run out of."""

    @contextlib.asynccontextmanager
    async def turn(self, partition: int) -> AsyncIterator[None]:  # noqa: ARG002  # the port's name
        """Nobody else is kept away: let a group share the partitions, or give each process its own."""
        yield

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Handled]:
        handled = Handled()
        yield handled
        for partition, place in handled.places.items():
            await self._commits.write(partition, Committed(offset=place.next_offset, note=_render(place)))

    async def load(self, partition: int) -> Checkpoint | None:
        committed = await self._commits.read(partition)
        return None if committed is None else _parse(committed)

    async def advance(
        self,
        tx: Handled,
        partition: int,
        before: Checkpoint | None,  # noqa: ARG002  # the broker knows who may commit, not from where
        after: Checkpoint,
    ) -> None:
        tx.places[partition] = after

    async def dead_subjects(self, tx: Handled, partition: int) -> set[str]:  # noqa: ARG002  # the port's names
        return set()

    async def bury(self, tx: Handled, letter: DeadLetter) -> NoReturn:  # noqa: ARG002  # as above
        kind = letter.reason.partition(":")[0]
        raise NoDeadLettersError(f"{letter.event.type} {letter.event.id} was refused by {kind}")

    async def blame(self, tx: Handled, letter: DeadLetter) -> None:
        """There are none."""

    async def dead_letters(self, tx: Handled, partition: int | None = None) -> Sequence[DeadLetter]:  # noqa: ARG002  # as above
        return ()

    async def forget(self, tx: Handled, event: Event) -> None:
        """There are none."""


class PinnedCommits(Commits):
    """Commits of a process that was told which partitions to follow. Open it with `open_commits`."""

    def __init__(
        self, consumer: AIOKafkaConsumer, bootstrap: str, group: str, topic: str, client: dict[str, Any]
    ) -> None:
        self._consumer = consumer
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._client = client

    async def read(self, partition: int) -> Committed | None:
        where = TopicPartition(self._topic, partition)
        return await read_offset(self._bootstrap, self._group, where, self._client)

    async def write(self, partition: int, committed: Committed) -> None:
        await write_offset(self._consumer, TopicPartition(self._topic, partition), committed)


@contextlib.asynccontextmanager
async def open_commits(
    bootstrap: str, group: str, *, topic: str = TOPIC, **client: Any
) -> AsyncIterator[PinnedCommits]:
    """StoreUnavailableError if there is no broker. `client` is as for `open_feed`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, **client
    )
    try:
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            numbers = await partition_numbers(bootstrap, topic, client)
            await consumer.start()
    except BaseException as error:
        await stop_consumer(consumer)
        if isinstance(error, FAILURES):
            raise StoreUnavailableError(f"Kafka at {bootstrap}: {type(error).__name__}") from None
        raise
    wheres = [TopicPartition(topic, number) for number in numbers]
    consumer.assign(wheres)
    consumer.pause(*wheres)
    try:
        yield PinnedCommits(consumer, bootstrap, group, topic, client)
    finally:
        await stop_consumer(consumer)


async def read_offset(
    bootstrap: str, group: str, where: TopicPartition, client: dict[str, Any]
) -> Committed | None:
    """By a client of its own: consumers do not tell the note, and this is asked seldom."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **client)
    try:
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            await admin.start()
            found = (await admin.list_consumer_group_offsets(group, partitions=[where])).get(where)
    except FAILURES as error:
        raise StoreUnavailableError(f"commits: {type(error).__name__}") from None
    finally:
        await admin.close()
    return None if found is None or found.offset < 0 else Committed(offset=found.offset, note=found.metadata)


async def write_offset(consumer: AIOKafkaConsumer, where: TopicPartition, committed: Committed) -> None:
    """Aiokafka would try for ever; who does not learn the outcome handles nothing again in this process."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await consumer.commit({where: (committed.offset, committed.note)})
    except (CommitFailedError, IllegalStateError) as error:
        raise OutrunError(f"commit: {type(error).__name__}") from None
    except FAILURES as error:
        raise StoreUnavailableError(f"commit: {type(error).__name__}") from None


def _render(place: Checkpoint) -> str:
    where = None if place.place is None else [place.place.seq, place.place.number]
    return json.dumps({"v": _FORMAT, "source": place.source, "place": where, "sequence": place.sequence})


def _parse(committed: Committed) -> Checkpoint:
    """An offset that somebody set by other tools says where to go on, and nothing of what was before."""
    try:
        told = json.loads(committed.note)
        if told["v"] == _FORMAT:
            place = None if told["place"] is None else Place(seq=told["place"][0], number=told["place"][1])
            return Checkpoint(
                source=told["source"], place=place, sequence=told["sequence"], next_offset=committed.offset
            )
    except (ValueError, LookupError, TypeError):
        pass
    return Checkpoint(place=Place(seq=-1, number=0), next_offset=committed.offset)
