"""Reads the real log from its beginning, with a reader of its own, and asks others how far they read it."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from eventstore.chain import ChainReader, Counted
from eventstore.kafka_log import KafkaLog
from runtime.kafka_access import KafkaAccess
from runtime.postgres import Postgres, PostgresUnavailableError
from tests.support.judge import Head
from tests.support.tasks import eventually

UNSEEN_SECONDS = 30.0
HEADS = """
select 'write model' as reader, partition, seq, hash from write_model.checkpoints
union all select projector, partition, seq, hash from chancery.checkpoints
union all select 'mailer', partition, seq, hash from chancery_mailer.checkpoints
"""


class LogFollower:
    """Everything that counts in some partitions: each call of `more` adds what came since the one before."""

    def __init__(self, log: KafkaLog, chains: Sequence[ChainReader]) -> None:
        self._log = log
        self._chains = {chain.partition: chain for chain in chains}
        self.counted: dict[str, Counted] = {}
        """By position, partition by partition in the order of the log."""

    async def more(self) -> None:
        for number, chain in self._chains.items():
            end = await self._log.end(number)
            while chain.head.next_offset < end:
                for record in await self._log.read(number, chain.head.next_offset, wait_seconds=1):
                    admitted = chain.admit(record)
                    if admitted is not None:
                        self.counted[str(admitted.position)] = admitted


def partition_count(settings: Mapping[str, str]) -> int:
    return int(settings.get("CHANCERY_PARTITIONS", "8"))


@asynccontextmanager
async def following_log(settings: Mapping[str, str], *wanted: int) -> AsyncIterator[LogFollower]:
    """Of these partitions, or of all."""
    partitions = partition_count(settings)
    log = KafkaLog(KafkaAccess(settings["CHANCERY_KAFKA_BOOTSTRAP"]), "chancery.events", partitions)
    await log.start()
    try:
        yield LogFollower(log, [ChainReader(number, partitions) for number in wanted or range(partitions)])
    finally:
        await log.stop()


async def read_log(settings: Mapping[str, str], *wanted: int) -> dict[str, Counted]:
    """Every commit that counts in these partitions, or in all, by position."""
    async with following_log(settings, *wanted) as follower:
        await follower.more()
        return follower.counted


async def settled_heads(settings: Mapping[str, str], log: Mapping[str, Counted]) -> Sequence[Head]:
    """Where every stored reader of the log stands, once each of them has seen all that counts in `log`.

    TimeoutError if that takes longer than FAULTS allows.
    """
    ends: Counter[int] = Counter()
    for counted in log.values():
        ends[counted.position.partition] = max(ends[counted.position.partition], counted.position.seq)
    heads: list[Head] = []

    async def has_seen_all() -> bool:
        try:
            rows = await postgres.fetch(HEADS)
        except PostgresUnavailableError:
            return False
        heads[:] = [Head(**row) for row in rows]
        return all(head.seq >= ends[head.partition] for head in heads)

    postgres = await Postgres.open(settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    try:
        await eventually(has_seen_all, within_seconds=UNSEEN_SECONDS)
    finally:
        await postgres.close()
    return heads
