"""A log whose connection said things that make no sense: calls fail in time, and it works again by itself."""

import contextlib
import time

import pytest

from eventstore.errors import AppendUnknownError, UnavailableError
from eventstore.kafka_log import KafkaLog
from localstack.stack import StackInfo
from runtime.kafka_access import KafkaAccess
from tests.support.broker import Broker, opened
from tests.support.link import Weather, link_to
from tests.support.tasks import eventually

HEAL_SECONDS = 8.0
BAD_SECONDS = 4.0


@pytest.fixture
def broker(projector_stack: StackInfo) -> Broker:
    return Broker(projector_stack.home, projector_stack.kafka)


@pytest.mark.parametrize("weather", ["nonsense", "corrupt", "reset", "hang"])
async def test_a_log_heals_after_its_link_was_bad(broker: Broker, weather: Weather) -> None:
    topics = await broker.new_topics(partitions=1)
    async with link_to(int(broker.bootstrap.rpartition(":")[2])) as link:
        log = KafkaLog(KafkaAccess(f"127.0.0.1:{link.port}"), topics.events, 1, timeout_seconds=1)
        async with opened(log):
            assert await log.append(0, b"k", b"before") == 0
            link.turn(weather)
            until = time.monotonic() + BAD_SECONDS
            while time.monotonic() < until:
                with contextlib.suppress(AppendUnknownError):
                    await log.append(0, b"k", b"meanwhile")
                with contextlib.suppress(UnavailableError):
                    await log.end(0)
            link.turn("fair")

            async def works_again() -> bool:
                try:
                    offset = await log.append(0, b"k", b"after")
                    (record, *_) = await log.read(0, offset, wait_seconds=1)
                    return record.value == b"after" and await log.end(0) == offset + 1
                except (AppendUnknownError, UnavailableError, ValueError):
                    return False

            await eventually(works_again, within_seconds=HEAL_SECONDS)
