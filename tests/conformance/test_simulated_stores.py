"""What simulations put between processes and their stores keeps the promises of the real ones in calm weather."""

import asyncio
import random

import pytest

from eventstore.key_index import KeyRecord
from eventstore.keyring import KeyStore
from eventstore.memory_log import MemoryLog
from eventstore.snapshots import MemorySnapshots, Snapshots
from tests.conformance.key_store_suite import KeyStoreSuite, NewStore
from tests.conformance.log_suite import LogSuite
from tests.conformance.write_model_suite import SnapshotsSuite
from tests.simulation.log import SimulatedLog
from tests.simulation.stores import SimulatedKeyStore, SimulatedSnapshots
from tests.simulation.weather import Weather
from tests.simulation.wire import Sky
from tests.support.memory_keys import KeyTopic

SLOW = Weather(delay_seconds=0.002)
"""Nothing fails, and everything takes its time."""


@pytest.fixture
async def sky() -> Sky:
    return Sky(asyncio.get_running_loop(), random.Random(0), SLOW, None)


class TestSimulatedLog(LogSuite):
    @pytest.fixture
    async def log(self, sky: Sky) -> SimulatedLog:
        return SimulatedLog(MemoryLog(2), sky)


class TestSimulatedSnapshots(SnapshotsSuite):
    @pytest.fixture
    async def snapshots(self, sky: Sky) -> Snapshots:
        return SimulatedSnapshots(MemorySnapshots(), sky)


class TestSimulatedKeyStore(KeyStoreSuite):
    @pytest.fixture
    async def new_store(self, sky: Sky) -> NewStore:
        topic = KeyTopic()

        async def new() -> KeyStore:
            return SimulatedKeyStore(topic, sky)

        return new


async def test_a_key_store_reads_on_while_it_grows(sky: Sky) -> None:
    store = SimulatedKeyStore(KeyTopic(), sky)
    for number in range(50):
        await store.put(KeyRecord(key=f"account-aa/{number}", value=b"1"))
    assert sum([len(batch.records) async for batch in store.read({0: 3})]) == 47
