"""The group that subscribers test with is one."""

from collections.abc import Callable

import pytest

from chancery_sdk.sharing import Sharing
from chancery_sdk.testing import MemoryGroup
from tests.conformance.sharing_suite import PARTITIONS, SharingSuite


class TestMemoryGroup(SharingSuite):
    @pytest.fixture
    def join(self) -> Callable[[], Sharing]:
        group = MemoryGroup(PARTITIONS)
        return lambda: group
