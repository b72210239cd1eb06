"""Writers on a log in memory, and a judge that reads the log afterwards with nobody's state but its own."""

from collections import Counter
from datetime import UTC, datetime

from domain.aggregates import AGGREGATES
from events.streams import account_stream, identifier_stream, new_id, slot_of
from eventstore.chain import ChainReader, Counted
from eventstore.commit import Actor
from eventstore.memory_log import MemoryLog
from eventstore.provision import write_genesis
from eventstore.snapshots import MemorySnapshots, Snapshots
from eventstore.writer import Limits, Origin, Stores, Writer
from runtime.clock import Clock
from tests.support.memory_keys import KeyTopic

SYSTEM = Origin(actor=Actor(kind="system", id="test"))
IDENTIFIER = identifier_stream(bytes(32))
ACCOUNT_ID = new_id(slot_of(IDENTIFIER))
ACCOUNT = account_stream(ACCOUNT_ID)


def now() -> datetime:
    return datetime.now(UTC)


async def new_log(partitions: int = 1) -> MemoryLog:
    log = MemoryLog(partitions)
    await write_genesis(log, now)
    return log


def new_writer(  # noqa: PLR0913  # each test names the few that it is about
    log: MemoryLog,
    keys: KeyTopic,
    *,
    snapshots: Snapshots | None = None,
    clock: Clock = now,
    deadline_seconds: float = 5,
    max_open: int = 256,
    cache_bytes: int = 1 << 24,
) -> Writer:
    stores = Stores(log=log, keyring=keys.keyring(), snapshots=snapshots or MemorySnapshots())
    limits = Limits(deadline_seconds=deadline_seconds, max_open=max_open, cache_bytes=cache_bytes)
    return Writer(stores, AGGREGATES, clock, limits)


async def counted_commits(log: MemoryLog, partition: int = 0) -> list[Counted]:
    """Every commit that counts, by a reader of its own; asserts that streams number their events in order."""
    chain = ChainReader(partition, log.partitions)
    commits = []
    while chain.head.next_offset < await log.end(partition):
        for record in await log.read(partition, chain.head.next_offset, wait_seconds=1):
            counted = chain.admit(record)
            if counted is not None:
                commits.append(counted)
    versions: Counter[str] = Counter()
    for counted in commits:
        for event in counted.commit.events:
            versions[event.stream] += 1
            assert event.version == versions[event.stream]
    return commits
