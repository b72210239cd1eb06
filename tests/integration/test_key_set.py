"""How long a published key set may be kept: never so long that a key could sign which is not in it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from events.signing_keys import SigningKeyCreated
from events.streams import SIGNING_KEYS
from query_api.key_set import KeySet
from readmodels.positions import PositionWatch
from runtime.postgres import Postgres
from runtime.signing import new_signing_key
from tests.support.building import new_runner
from tests.support.memory_keys import KeyTopic
from tests.support.scribe import Scribe
from tests.support.tasks import running
from tests.support.writers import new_log

PARTITIONS = 2
LEAD, COMMIT = timedelta(seconds=60), timedelta(seconds=2)
SLOW_SECONDS = 5
"""By so much a busy machine may make the tables look older than they were made."""


def key_set_of(postgres: Postgres, *, lead: timedelta = LEAD) -> KeySet:
    return KeySet(postgres, lambda: datetime.now(UTC), partitions=PARTITIONS, lead=lead, commit=COMMIT)


@pytest.fixture
async def tables(postgres: Postgres) -> Postgres:
    """Whose projector stopped once a key was in them."""
    log, keys = await new_log(PARTITIONS), KeyTopic()
    pem, jwk = new_signing_key("ES256")
    at = datetime.now(UTC)
    key = SigningKeyCreated(kid="k1", alg="ES256", public_jwk=jwk, created_at=at, private_pem=pem)
    last = await Scribe(log, keys.keyring()).write(SIGNING_KEYS, key)
    watch = PositionWatch(postgres)
    async with running(new_runner(log, keys, postgres).run(), watch.run()):
        assert await watch.wait_for("signing_keys", {last.partition: last.seq}, wait_seconds=10)
    return postgres


async def mark(postgres: Postgres, partition: int, age: timedelta | None) -> None:
    """The tables were complete so long ago; None means that nobody ever found them so."""
    await postgres.execute(
        "update chancery.checkpoints set fresh_at = clock_timestamp() - $2::interval where partition = $1",
        partition,
        age,
    )


@pytest.mark.parametrize("age", [0, 20, 50])
async def test_it_may_be_kept_for_what_is_left_of_the_lead(tables: Postgres, age: int) -> None:
    await mark(tables, 0, timedelta())
    await mark(tables, 1, timedelta(seconds=age))
    key_set = key_set_of(tables)
    await key_set.refresh()
    assert [key.kid for key in key_set.keys] == ["k1"]
    left = (LEAD - COMMIT).total_seconds() - age
    assert left - SLOW_SECONDS <= key_set.cache_seconds < left


@pytest.mark.parametrize(
    "age",
    [LEAD, -timedelta(hours=1), None],
    ids=["too old", "a mark of another server", "no mark"],
)
async def test_keys_that_may_be_incomplete_are_shown_and_kept_by_nobody(
    tables: Postgres, age: timedelta | None
) -> None:
    await mark(tables, 0, timedelta())
    await mark(tables, 1, age)
    key_set = key_set_of(tables)
    await key_set.refresh()
    assert ([key.kid for key in key_set.keys], key_set.cache_seconds) == (["k1"], 0)


async def test_it_may_be_kept_the_less_the_longer_the_tables_were_not_read(tables: Postgres) -> None:
    for partition in range(PARTITIONS):
        await mark(tables, partition, timedelta())
    key_set = key_set_of(tables, lead=COMMIT + timedelta(seconds=10))
    assert key_set.cache_seconds == 0
    await key_set.refresh()
    before = key_set.cache_seconds
    assert before > 0
    await asyncio.sleep(1)  # real time is what it goes by
    assert key_set.cache_seconds == before - 1
