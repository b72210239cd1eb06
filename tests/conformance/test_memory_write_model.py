"""The write model in memory keeps the promises of the real one."""

import pytest

from eventstore.key_index import KeyIndex, MemoryKeyIndex
from eventstore.snapshots import MemorySnapshots, Snapshots
from tests.conformance.write_model_suite import KeyIndexSuite, SnapshotsSuite


class TestMemorySnapshots(SnapshotsSuite):
    @pytest.fixture
    def snapshots(self) -> Snapshots:
        return MemorySnapshots()


class TestMemoryKeyIndex(KeyIndexSuite):
    @pytest.fixture
    def index(self) -> KeyIndex:
        return MemoryKeyIndex()
