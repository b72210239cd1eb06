"""The feed that subscribers test with is one."""

import pytest

from chancery_sdk.events import Record
from chancery_sdk.testing import MemoryFeed
from tests.conformance.feed_suite import FeedSuite, Stage


class TestMemoryFeed(FeedSuite):
    @pytest.fixture
    def stage(self) -> Stage:
        feed = MemoryFeed(2)

        async def store(_: Record) -> None:
            """It is there since it was told."""

        async def forget(partition: int, before: int) -> None:
            feed.forget(partition, before)

        return Stage(feed=feed, told=feed, store=store, forget=forget)
