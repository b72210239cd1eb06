"""How fast the risk worker counts what is published already, on one partition: `python -m bench.risk --json`.

It starts a Kafka of its own. Every event is a refused password of another account or of one of those before, so every
event changes a windowed table, and no limit is reached: what is measured is Faust, its changelog and our places.
"""

import asyncio
import time
from datetime import timedelta

from faust.types import TP

from bench.alone import run_alone
from events.public import catalogue
from events.public.session import SignInFailed
from eventstore.provision import Topics, create_topics
from localstack.stack import StackInfo
from projectors.public_topic import BATCH_EVENTS, PublicTopic
from projectors.risk.counting import Broker, Counting
from projectors.risk.rules import Conclusion, Limits
from projectors.risk.signals import Flaw
from projectors.risk.topics import create_own_topics
from projectors.risk.worker import commit, counting_runs
from runtime.clock import rfc3339, utc_now
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from runtime.kafka_batches import KafkaRecord

TOPICS = Topics(
    events="counted.events", keys="counted.keys", public="counted", partitions=1, replication_factor=1
)
GROUP = "counted.risk"
ACCOUNTS = 1000
PATIENCE_SECONDS = 300.0
LIMITS = Limits(window=timedelta(hours=1), failures=1000, reuses=1000, arrivals=1000, accounts_of_source=1000)


async def faust_events_per_second(stack: StackInfo, events: int) -> dict[str, float]:
    """Events per second of time, and of this process's CPU, until all of them are committed."""
    async with open_admin(KafkaAccess(stack.kafka)) as admin:
        await create_topics(admin, TOPICS)
    await create_own_topics(
        KafkaAccess(stack.kafka), GROUP, partitions=1, replication_factor=1, window=LIMITS.window
    )
    await _fill(stack.kafka, events)
    broker = Broker(access=KafkaAccess(stack.kafka), group=GROUP, public_topic=TOPICS.public, partitions=1)
    counting = Counting(broker, LIMITS, _conclude, _pass_over)
    async with counting_runs(counting):
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while max(counting.places.known().values(), default=0) < events:  # noqa: ASYNC110  # places have no event
                await asyncio.sleep(0.1)  # to ask costs CPU that is counted
            await commit(counting)
        elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    return {
        "events": events,
        "faust_events_per_second": round(events / elapsed),
        "faust_events_per_cpu_second": round(events / used),
    }


async def _conclude(conclusion: Conclusion) -> None:
    raise AssertionError(f"no limit is reached here: {conclusion.key}")


def _pass_over(place: TP, offset: int, flaw: Flaw) -> None:
    raise AssertionError(f"all can be counted here: {place}, {offset}, {flaw}")


async def _fill(bootstrap: str, events: int) -> None:
    public = PublicTopic(KafkaAccess(bootstrap), TOPICS.public, 1)
    await public.start()
    waiting = [_record(number) for number in range(events)]
    while waiting:
        stored = await public.publish(0, waiting[:BATCH_EVENTS])
        waiting = waiting[stored:]
    await public.stop()


def _record(number: int) -> KafkaRecord:
    event = SignInFailed(account_id=f"account-{number % ACCOUNTS}", cause="wrong-password")
    said = {"ce_type": event.type, "ce_time": rfc3339(utc_now()), "ce_id": f"0:{number}:0"}
    headers = tuple((name, value.encode()) for name, value in said.items())
    return KafkaRecord(key=event.subject.encode(), value=catalogue.encode(event), headers=headers)


if __name__ == "__main__":
    run_alone(faust_events_per_second, description=__doc__, events=20_000)
