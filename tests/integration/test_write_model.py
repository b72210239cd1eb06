"""The write model in PostgreSQL: the promises of every write model, and what only a database can do."""

import pytest

from eventstore.errors import UnavailableError
from eventstore.key_index import KeyIndex
from eventstore.postgres_key_index import PostgresKeyIndex
from eventstore.postgres_write_model import PostgresSnapshots, create_write_model
from eventstore.snapshots import Snapshots
from runtime.postgres import Postgres
from tests.conformance.write_model_suite import KeyIndexSuite, SnapshotsSuite, checkpoint, snapshot


class TestPostgresSnapshots(SnapshotsSuite):
    @pytest.fixture
    async def snapshots(self, postgres: Postgres) -> Snapshots:
        await create_write_model(postgres)
        return PostgresSnapshots(postgres, fold_version=1)


class TestPostgresKeyIndex(KeyIndexSuite):
    @pytest.fixture
    async def index(self, postgres: Postgres) -> KeyIndex:
        await create_write_model(postgres)
        return PostgresKeyIndex(postgres)


async def test_another_fold_version_begins_empty_and_leaves_the_old_one_alone(postgres: Postgres) -> None:
    await create_write_model(postgres)
    old, new = PostgresSnapshots(postgres, 1), PostgresSnapshots(postgres, 2)
    assert await old.save(0, None, checkpoint(3), [snapshot("a-aa")])
    assert (await new.load(0, ["a-aa"])).checkpoint is None
    assert await new.save(0, None, checkpoint(1), [snapshot("a-aa", 2)])
    guarded = await old.load(0, ["a-aa"])
    assert (guarded.checkpoint, guarded.snapshots["a-aa"].version) == (checkpoint(3), 1)


async def test_a_write_model_that_was_dropped_is_unavailable_until_it_is_made_again(
    postgres: Postgres,
) -> None:
    await create_write_model(postgres)
    snapshots, index = PostgresSnapshots(postgres, 1), PostgresKeyIndex(postgres)
    assert await snapshots.save(0, None, checkpoint(1), [snapshot("a-aa")])
    await postgres.execute("drop schema write_model cascade")
    for call in (
        lambda: snapshots.load(0, ["a-aa"]),
        lambda: snapshots.save(0, checkpoint(1), checkpoint(2), []),
        index.positions,
    ):
        with pytest.raises(UnavailableError):
            await call()
    await create_write_model(postgres)
    assert (await snapshots.load(0, ["a-aa"])).checkpoint is None
