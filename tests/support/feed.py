"""Reads the public topic like a subscriber, and judges it by the private log: what must be in there, in which order."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from events.public.catalogue import encode
from events.public.mapping import to_public
from eventstore.chain import Counted
from eventstore.facts import read_commit
from runtime.kafka import KafkaReader
from runtime.kafka_access import KafkaAccess
from tests.support.tasks import eventually

UNTOLD_SECONDS = 30.0
IDENTITY = ("ce_id", "ce_sequence", "ce_type", "ce_position", "ce_time", "traceparent")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRecord:
    """What a subscriber gets."""

    partition: int
    key: str
    value: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.headers["ce_id"]

    @property
    def seq(self) -> int:
        return int(self.headers["ce_position"].partition(":")[2])

    @property
    def told(self) -> tuple[str, ...]:
        """What the private log can say of it too."""
        return (self.key, self.value.decode(), *(self.headers.get(name, "") for name in IDENTITY))


Feed = Mapping[int, Sequence[PublicRecord]]
"""By partition, in the order of the topic."""


async def read_feed(bootstrap: str, topic: str, partitions: int) -> Feed:
    reader = KafkaReader(KafkaAccess(bootstrap), topic, partitions, timeout_seconds=5, between_reads="pause")
    await reader.start()
    try:
        return {number: await _read(reader, number) for number in range(partitions)}
    finally:
        await reader.stop()


async def _read(reader: KafkaReader, partition: int) -> list[PublicRecord]:
    """Records of others are none of the feed."""
    offset, end, found = await reader.begin(partition), await reader.end(partition), []
    while offset < end:
        for message in await reader.read(partition, offset, wait_seconds=2):
            offset = message.offset + 1
            headers = {name: value.decode() for name, value in message.headers}
            if "ce_id" in headers:
                assert message.key is not None
                assert message.value is not None
                record = PublicRecord(
                    partition=partition, key=message.key.decode(), value=message.value, headers=headers
                )
                found.append(record)
    return found


def expected_feed(log: Iterable[Counted]) -> Mapping[int, Sequence[tuple[str, ...]]]:
    """What of a log must have been told, by partition, as `PublicRecord.told` has it."""
    expected: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    for counted in log:
        for number, fact in enumerate(read_commit(counted)):
            event = to_public(fact.stream, fact.event)
            if event is None:
                continue
            told = expected[counted.position.partition]
            told.append(
                (
                    event.subject,
                    encode(event).decode(),
                    f"{counted.position}:{number}",
                    f"{len(told) + 1:020}",
                    event.type,
                    str(counted.position),
                    msgspec.to_builtins(counted.commit.at),
                    counted.commit.trace,
                )
            )
    return expected


def first_occurrences(records: Sequence[PublicRecord]) -> list[PublicRecord]:
    """What is left for a subscriber that knows what it had."""
    seen: set[str] = set()
    return [record for record in records if not (record.id in seen or seen.add(record.id))]  # type: ignore[func-returns-value]  # the idiom for "first"


def feed_faults(expected: Mapping[int, Sequence[tuple[str, ...]]], feed: Feed) -> list[str]:
    """Every way in which the feed is not what subscribers are promised."""
    return [fault for number in feed for fault in _faults(number, expected.get(number, ()), feed[number])]


def _faults(
    number: int, expected: Sequence[tuple[str, ...]], records: Sequence[PublicRecord]
) -> Iterator[str]:
    first = first_occurrences(records)
    for place, (wanted, found) in enumerate(zip(expected, first, strict=False)):
        if wanted != found.told:
            yield f"partition {number}: event {place + 1} is {found.told} and should be {wanted}"
            return
    if len(first) != len(expected):
        yield f"partition {number} has {len(first)} events and should have {len(expected)}"
    by_id = {record.id: record for record in first}
    for record in records:
        if record != by_id[record.id]:
            yield f"partition {number}: {record.id} was repeated differently"


async def settled_feed_faults(settings: Mapping[str, str], log: Mapping[str, Counted]) -> list[str]:
    """What is wrong with the public feed of a running platform, once it had the time to tell everything in `log`.

    What it tells of later commits says nothing here.
    """
    ends: dict[int, int] = {}
    for position in (counted.position for counted in log.values()):
        ends[position.partition] = max(ends.get(position.partition, 0), position.seq)
    expected, faults = expected_feed(log.values()), ["nobody has looked yet"]

    async def has_told_all() -> bool:
        feed = await read_feed(
            settings["CHANCERY_KAFKA_BOOTSTRAP"],
            settings.get("CHANCERY_PUBLIC_TOPIC", "chancery.public"),
            int(settings.get("CHANCERY_PARTITIONS", "8")),
        )
        until = {
            number: [record for record in records if record.seq <= ends.get(number, 0)]
            for number, records in feed.items()
        }
        faults[:] = [f"feed: {fault}" for fault in feed_faults(expected, until)]
        return not faults

    with contextlib.suppress(TimeoutError):
        await eventually(has_told_all, within_seconds=UNTOLD_SECONDS)
    return faults


def repeated(feed: Feed) -> int:
    """How many records say again what was said."""
    return sum(len(records) - len(first_occurrences(records)) for records in feed.values())
