"""How fast the relay tells a log that is there already, on one partition: `python -m bench.relay --json`.

It starts a Kafka and a PostgreSQL of its own. Every commit holds one event that is published, so a commit is an event.
"""

import asyncio
import time
from datetime import datetime

from prometheus_client import CollectorRegistry

from bench.alone import run_alone
from events import codec
from events.account import SessionRefreshed
from events.streams import account_stream, new_id
from eventstore.commit import Actor, Commit, SealedEvent, encode, hash_record, new_commit_id
from eventstore.kafka_log import KafkaLog
from eventstore.provision import Topics, create_topics, write_genesis
from localstack.stack import StackInfo
from projectors.metrics import Metrics
from projectors.public_topic import PublicTopic
from projectors.relay import Relay
from projectors.turns import Sharing
from runtime.clock import utc_now
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from runtime.postgres import Postgres

TOPICS = Topics(
    events="relayed", keys="relayed.keys", public="relayed.public", partitions=1, replication_factor=1
)
PIPELINED = 1000
PATIENCE_SECONDS = 300.0


async def relay_events_per_second(stack: StackInfo, events: int) -> dict[str, float]:
    """Events per second of time, and of this process's CPU."""
    async with open_admin(KafkaAccess(stack.kafka)) as admin:
        await create_topics(admin, TOPICS)
    log = KafkaLog(KafkaAccess(stack.kafka), TOPICS.events, 1, timeout_seconds=10, between_reads="fetch")
    public = PublicTopic(KafkaAccess(stack.kafka), TOPICS.public, 1)
    postgres = await Postgres.open(stack.postgres_dsn, max_connections=1)
    await log.start()
    await public.start()
    await write_genesis(log, utc_now)
    await _fill(log, events)
    relay = Relay(log, public, Sharing(postgres=postgres), Health(), Metrics(CollectorRegistry()))
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (place := await public.last_place(0)) is None or place.sequence < events:  # noqa: ASYNC110  # the topic has no event
            await asyncio.sleep(0.1)  # to ask costs CPU that is counted
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    running.cancel()
    await asyncio.wait({running})
    await postgres.close()
    await public.stop()
    await log.stop()
    return {
        "events": events,
        "relay_events_per_second": round(events / elapsed),
        "relay_events_per_cpu_second": round(events / used),
    }


async def _fill(log: KafkaLog, events: int) -> None:
    """One refreshed session a commit, chained by hand: no writer is measured here."""
    stream, now = account_stream(new_id(0)), utc_now()
    (genesis, *_) = await log.read(0, 0, wait_seconds=10)
    assert genesis.key is not None
    assert genesis.value is not None
    prev, waiting = hash_record(genesis.key, genesis.value), []
    for seq in range(1, events + 1):
        value = encode(_commit(seq, prev, stream, now))
        prev = hash_record(stream.encode(), value)
        waiting.append(await log.send(0, stream.encode(), value))
        if len(waiting) == PIPELINED:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)


def _commit(seq: int, prev: str, stream: str, now: datetime) -> Commit:
    wire = codec.encode(
        SessionRefreshed(session_id=stream, generation=seq, refreshed_at=now, idle_expires_at=now)
    )
    event = SealedEvent(stream=stream, version=seq, type=wire.type, rev=wire.rev, data=wire.data)
    return Commit(
        v=1,
        seq=seq,
        prev=prev,
        commit=new_commit_id(now),
        at=now,
        actor=Actor(kind="system", id="bench"),
        trace="",
        events=(event,),
    )


if __name__ == "__main__":
    run_alone(relay_events_per_second, description=__doc__, events=50_000)
