"""The topic of wrapped keys on a real Kafka, also where offsets hold no record and where no broker is."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from eventstore.errors import UnavailableError
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.key_index import KeyRecord
from eventstore.keyring import KeyStore
from eventstore.provision import Topics
from localstack.stack import StackInfo
from runtime.kafka_access import KafkaAccess
from tests.conformance.key_store_suite import ONE, TWO, KeyStoreSuite, NewStore, read
from tests.support.broker import Broker, nobody_there


@pytest.fixture
def broker(projector_stack: StackInfo) -> Broker:
    return Broker(projector_stack.home, projector_stack.kafka)


@pytest.fixture
async def topics(broker: Broker) -> Topics:
    return await broker.new_topics()


class TestKafkaKeyStore(KeyStoreSuite):
    @pytest.fixture
    async def new_store(self, broker: Broker, topics: Topics) -> AsyncIterator[NewStore]:
        async with contextlib.AsyncExitStack() as stores:

            async def new_store() -> KeyStore:
                store = KafkaKeyStore(
                    KafkaAccess(broker.bootstrap), topics.keys, topics.partitions, timeout_seconds=5
                )
                await store.start()
                stores.push_async_callback(store.stop)
                return store

            yield new_store


@contextlib.asynccontextmanager
async def started(broker: Broker, topic: str) -> AsyncIterator[KafkaKeyStore]:
    store = KafkaKeyStore(KafkaAccess(broker.bootstrap), topic, 2)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def test_offsets_without_a_record_at_the_end_do_not_stop_the_reader(
    broker: Broker, topics: Topics
) -> None:
    """The mark of a transaction takes an offset that no consumer ever sees, like a compacted record."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topics.keys)
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topics.keys, ONE.value, key=ONE.key.encode(), partition=0)
    await producer.stop()
    async with started(broker, topics.keys) as store:
        ends = {batch.partition: batch.end async for batch in store.read({})}
        assert await read(store) == [ONE]
        await store.put(TWO)
        assert await read(store, ends) == [TWO]


async def test_a_record_without_a_key_is_passed_over(broker: Broker, topics: Topics) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    await producer.send_and_wait(topics.events, b"no key", partition=0)
    await producer.stop()
    async with started(broker, topics.events) as store:
        await store.put(ONE)
        assert await read(store) == [ONE]


async def test_where_no_broker_is_every_call_says_so() -> None:
    store = KafkaKeyStore(KafkaAccess(nobody_there()), "keys", 1, timeout_seconds=0.5)
    with pytest.raises(UnavailableError, match="connect"):
        await store.start()
    with pytest.raises(UnavailableError, match="produce to keys"):
        await store.put(ONE)
    await store.stop()


async def test_a_broker_that_hangs_is_unavailable_and_nothing_is_lost_of_what_it_took(
    broker: Broker, topics: Topics
) -> None:
    async with started(broker, topics.keys) as store:
        await store.put(ONE)
        async with broker.hanging():
            with pytest.raises(UnavailableError, match="keys: "):
                await read(store)
            with pytest.raises(UnavailableError, match="produce to"):
                await store.put(KeyRecord(key="account-aa/lost", value=b"3"))
    async with started(broker, topics.keys) as later:
        assert ONE in await read(later)
