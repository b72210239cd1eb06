"""The key topic in memory keeps the promises of the real one."""

import pytest

from eventstore.keyring import KeyStore
from tests.conformance.key_store_suite import KeyStoreSuite, NewStore
from tests.support.memory_keys import KeyTopic, MemoryKeyStore


class TestMemoryKeyStore(KeyStoreSuite):
    @pytest.fixture
    def new_store(self) -> NewStore:
        topic = KeyTopic()

        async def new_store() -> KeyStore:
            return MemoryKeyStore(topic)

        return new_store
