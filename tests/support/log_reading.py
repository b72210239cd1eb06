"""Reads the real log from its beginning, with a reader of its own, and asks others how far they read it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from eventstore.chain import ChainReader, Counted
from eventstore.kafka_log import KafkaLog
from runtime.postgres import Postgres, PostgresUnavailableError
from tests.support.judge import Head
from tests.support.tasks import eventually

UNSEEN_SECONDS = 30.0
HEADS = """
select 'write model' as reader, partition, seq, hash from write_model.checkpoints
union all select projector, partition, seq, hash from chancery.checkpoints
union all select 'mailer', partition, seq, hash from chancery_mailer.checkpoints
"""


async def read_log(settings: Mapping[str, str]) -> dict[str, Counted]:
    """Every commit that counts, by position."""
    partitions = int(settings.get("CHANCERY_PARTITIONS", "8"))
    log = KafkaLog(settings["CHANCERY_KAFKA_BOOTSTRAP"], "chancery.events", partitions)
    await log.start()
    try:
        counted: dict[str, Counted] = {}
        for number in range(partitions):
            chain = ChainReader(number, partitions)
            end = await log.end(number)
            while chain.head.next_offset < end:
                for record in await log.read(number, chain.head.next_offset, wait_seconds=1):
                    admitted = chain.admit(record)
                    if admitted is not None:
                        counted[str(admitted.position)] = admitted
        return counted
    finally:
        await log.stop()


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
