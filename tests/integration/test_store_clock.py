"""The database's time, whatever this machine's wall clock says."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from localstack.stack import StackInfo
from runtime.postgres import Postgres
from runtime.store_clock import StoreClock
from tests.support.broker import nobody_there
from tests.support.link import link_to

WRONG = timedelta(days=400).total_seconds()
CLOSE = timedelta(seconds=1)


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: datetime.now(UTC).timestamp() + WRONG)
        return StoreClock()


async def test_a_wrong_wall_clock_does_not_count_once_the_database_was_asked(
    wrong_clock: StoreClock, postgres: Postgres
) -> None:
    assert abs(wrong_clock() - datetime.now(UTC)) > timedelta(days=399)
    await wrong_clock.anchor(postgres)
    assert abs(wrong_clock() - datetime.now(UTC)) < CLOSE


async def test_without_the_database_time_goes_on_from_the_last_answer(
    wrong_clock: StoreClock, postgres: Postgres
) -> None:
    await wrong_clock.anchor(postgres)
    gone = await Postgres.open(f"postgresql://postgres@{nobody_there()}/postgres")
    await wrong_clock.anchor(gone)
    await gone.close()
    assert abs(wrong_clock() - datetime.now(UTC)) < CLOSE


async def test_an_answer_that_took_long_is_not_believed(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StoreClock()
    before = clock() - datetime.now(UTC)
    answers = iter([0.0, 100.0])
    with monkeypatch.context() as patched:
        patched.setattr("runtime.store_clock.time.monotonic", lambda: next(answers, 200.0))
        await clock.anchor(postgres)
    assert abs((clock() - datetime.now(UTC)) - before) < CLOSE


async def test_a_database_that_is_slow_to_tell_the_first_time_is_asked_until_it_is_known(
    wrong_clock: StoreClock, projector_stack: StackInfo
) -> None:
    """Half of a long way is less wrong than a clock that nobody has compared."""
    async with link_to(urlsplit(projector_stack.postgres_dsn).port or 0) as link:
        slow = await Postgres.open(link.url(projector_stack.postgres_dsn))
        link.turn("slow")
        await wrong_clock.anchor(slow)
        assert not wrong_clock.is_anchored, "this one had the connection to make, too"
        await wrong_clock.first_anchor(slow)
        assert wrong_clock.is_anchored
        assert abs(wrong_clock() - datetime.now(UTC)) < timedelta(seconds=5)
        await slow.close()
