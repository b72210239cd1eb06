"""Reads the real log from its beginning, with a reader of its own."""

from collections.abc import Mapping

from eventstore.chain import ChainReader, Counted
from eventstore.kafka_log import KafkaLog


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
