"""Versions of read models: what a release does about those that it did not make, and when one may serve."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from events.account import ProfileChanged
from eventstore.memory_log import MemoryLog
from projectors.metrics import Metrics
from projectors.rebuild import begin, build, compare, discard, hand_over, serving_version, switch_to
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.versions import VersionWatch, first_versions, projector_of
from readmodels.accounts import account_of_any_status
from readmodels.checkpoints import is_fresh
from readmodels.dump import digests
from readmodels.positions import PositionWatch
from readmodels.tables import READ_MODELS, create_tables, create_version, definition_of
from readmodels.versions import (
    BehindError,
    RebuildError,
    Version,
    all_versions,
    one_at_a_time,
    stand_by,
    switch,
)
from runtime.health import Health
from runtime.postgres import Postgres, PostgresUnavailableError
from tests.support.behaviour import behaviour
from tests.support.building import build as build_all
from tests.support.building import new_tables
from tests.support.examples import NOON, VERIFIED
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, stream_of
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

V1 = Version(read_model="accounts", version=1, role="serving", definition=definition_of("accounts"))
V2 = replace(V1, version=2, role="building")
HELD_UP_SECONDS = 2.0
"""Well above what a switch waits for others, and well below what every statement may take."""
BEHAVIOUR = Path("readmodels/behaviour.json").read_text().strip()


class Place:
    """A log with one account, its read models, and the projectors that keep them up."""

    def __init__(self, postgres: Postgres, log: MemoryLog) -> None:
        self.postgres = postgres
        self.log = log
        self.keys = KeyTopic()
        self.health = Health()
        self._scribe = Scribe(log, self.keys.keyring())
        self.account_id = account_id_in(0)
        metrics = Metrics(CollectorRegistry())
        self.tables = Tables(postgres, (), metrics)
        self.runner = Runner(log, self.keys.keyring(), self.tables, self.health, metrics)
        self.watch = VersionWatch(postgres, self.tables, self.health)

    async def arrive(self) -> None:
        await self._scribe.write(stream_of(self.account_id), registered(self.account_id), VERIFIED, at=NOON)

    async def rename(self, name: str) -> None:
        await self._scribe.write(stream_of(self.account_id), ProfileChanged(display_name=name), at=NOON)

    async def shows(self, name: str) -> bool:
        try:
            account = await account_of_any_status(self.postgres, self.account_id)
        except PostgresUnavailableError:  # there is no such table yet
            return False
        return account is not None and account.display_name == name

    async def build(self, version: Version) -> None:
        await build(self.log, self.keys.keyring(), self.postgres, version, rate=0, tell=lambda _: None)


@pytest.fixture
async def place(postgres: Postgres) -> Place:
    place = Place(postgres, await new_log())
    await place.arrive()
    return place


async def test_what_read_models_make_of_facts_is_part_of_their_definition(postgres: Postgres) -> None:
    found = await behaviour(postgres)
    assert json.dumps(found, indent=2) == BEHAVIOUR, (
        "read models make other rows of facts than before; if that is meant, let readmodels/behaviour.json be "
        f"as follows, and databases will be asked to be rebuilt:\n{json.dumps(found, indent=2)}"
    )


async def test_a_new_database_serves_first_versions(postgres: Postgres) -> None:
    await create_tables(postgres)
    found = await all_versions(postgres)
    assert [(one.read_model, one.version, one.role) for one in found] == [
        (name, 1, "serving") for name in sorted(READ_MODELS)
    ]
    assert {one.read_model: one.definition for one in found} == {
        name: definition_of(name) for name in READ_MODELS
    }
    assert len({one.definition for one in found}) == len(found)


async def test_a_version_of_another_definition_is_left_alone_and_its_rebuild_is_offered(place: Place) -> None:
    async with running(place.runner.run(), place.watch.run()):
        await eventually(lambda: place.shows("Ada"))
        await place.postgres.execute(
            "update chancery.read_models set definition = 'another' where projector = 'accounts_v1'"
        )
        expected = {
            "accounts_v1": "was made from another definition of accounts than this release has; "
            "run `chancery projections rebuild accounts --to v2` of this release"
        }

        async def is_told() -> bool:
            return place.health.failing() == expected

        await eventually(is_told)
        await place.rename("New")
        built = await begin(place.postgres, "accounts", 2)
        await place.build(built)
        assert await place.shows("Ada"), "rows of another release were written"
        ready = await hand_over(place.postgres, built, 1)
        compared = await compare(place.postgres, ready)
        assert (compared.is_equal, compared.is_exact) == (False, False)
        await switch_to(place.postgres, ready)
        await eventually(lambda: place.shows("New"))
        expected.clear()
        await eventually(is_told)


async def test_a_read_model_that_is_new_waits_to_be_built_and_holds_nobody_up(place: Place) -> None:
    await create_tables(place.postgres)
    await place.postgres.execute("delete from chancery.read_models where read_model = 'accounts'")
    await place.postgres.execute("drop view chancery.accounts; drop table chancery.accounts_v1")

    async def is_told() -> bool:
        return place.health.failing() == {
            "accounts_v1": "is new and not built yet; run `chancery projections rebuild accounts --to v1`"
        }

    async with running(place.runner.run(), place.watch.run()):
        await eventually(is_told)
        await place.build(await begin(place.postgres, "accounts", 1))
        ready = await hand_over(place.postgres, V1, 1)
        compared = await compare(place.postgres, ready)
        assert (compared.before, compared.after.rows, compared.is_equal) == (None, 1, True)
        assert await switch_to(place.postgres, ready) is None
        assert await place.shows("Ada")
        await place.rename("New")
        await eventually(lambda: place.shows("New"))


async def test_where_nothing_else_runs_a_changed_read_model_is_built_in_place(place: Place) -> None:
    postgres = place.postgres
    await create_tables(postgres)
    await postgres.execute("update chancery.read_models set definition = 'x' where read_model = 'accounts'")
    await postgres.execute("delete from chancery.read_models where read_model = 'audit'")
    await postgres.execute("drop view chancery.audit; drop table chancery.audit_v1")
    watches = [VersionWatch(postgres, place.tables, place.health, "in-place") for _ in range(2)]
    async with running(place.runner.run(), *(watch.run() for watch in watches)):
        await eventually(lambda: place.shows("Ada"))

        async def is_whole() -> bool:
            names = ("accounts", "audit")
            return await is_fresh(postgres, names, partitions=1, stale=timedelta(seconds=3))

        await eventually(is_whole)
        assert place.health.failing() == {}
    roles = {one.projector: one.role for one in await all_versions(postgres)}
    assert (roles["accounts_v1"], roles["accounts_v2"], roles["audit_v1"]) == (
        "standby",
        "serving",
        "serving",
    )


async def test_nothing_serves_that_shows_less_than_what_served(place: Place) -> None:
    keys, postgres = place.keys, place.postgres
    await build_all(place.log, keys, new_tables(postgres), [])
    async with postgres.transaction() as tx:
        await create_version(tx, V2)
        await stand_by(tx, V2)
    with pytest.raises(BehindError, match="accounts_v2 is behind in partitions 0"):
        await switch(postgres, V1, V2)
    assert await serving_version(postgres, "accounts") == V1
    assert await place.shows("Ada")
    both = [*first_versions(), projector_of(V2)]
    await build_all(place.log, keys, new_tables(postgres, both), [])
    await switch(postgres, V1, V2)
    assert await serving_version(postgres, "accounts") == replace(V2, role="serving")


async def test_waiting_readers_go_with_the_switch(place: Place) -> None:
    positions = PositionWatch(place.postgres)
    async with running(place.runner.run(), place.watch.run(), positions.run()):
        assert await positions.wait_for("accounts", {0: 1}, wait_seconds=10)
        await place.build(await begin(place.postgres, "accounts", 2))
        await switch_to(place.postgres, await hand_over(place.postgres, V2, 1))
        await discard(place.postgres, V1)
        assert place.tables.names.count("accounts_v2") == 1
        await place.rename("New")
        assert await positions.wait_for("accounts", {0: 2}, wait_seconds=10), place.health.failing()
        assert await place.shows("New")


async def test_a_version_that_nobody_keeps_up_does_not_come_to_serve(
    place: Place,
) -> None:
    await build_all(place.log, place.keys, new_tables(place.postgres), [])
    built = await begin(place.postgres, "accounts", 2)
    await place.build(built)
    with pytest.raises(RebuildError, match="no projectors of this release keep accounts_v2 up"):
        await hand_over(place.postgres, built, 1, within_seconds=1)
    assert {one.projector: one.role for one in await all_versions(place.postgres)}[
        "accounts_v2"
    ] == "building"
    assert await serving_version(place.postgres, "accounts") == V1


async def test_a_standby_that_was_left_behind_holds_nobody_up_and_is_built_on(place: Place) -> None:
    postgres = place.postgres
    built = await begin(postgres, "accounts", 2)
    await place.build(built)
    async with postgres.transaction() as tx:
        await stand_by(tx, built)
    await postgres.execute("update chancery.checkpoints set seq = -1, hash = '', next_offset = 0")
    await postgres.execute(
        "insert into chancery.checkpoints values ('accounts_v1', 0, 'x', 20000, 'h', 20001)"
    )
    await place.watch.look()
    assert "accounts_v2" not in place.tables.names
    assert await begin(postgres, "accounts", 2) == built
    await postgres.execute(
        "update chancery.checkpoints set next_offset = 20000 where projector = 'accounts_v2'"
    )
    async with postgres.transaction() as tx:
        await stand_by(tx, built)
    await place.watch.look()
    assert "accounts_v2" in place.tables.names


async def test_a_switch_does_not_make_readers_wait_behind_somebody_who_reads_for_long(place: Place) -> None:
    postgres = place.postgres
    both = [*first_versions(), projector_of(V2)]
    await begin(postgres, "accounts", 2)
    await build_all(place.log, place.keys, new_tables(postgres, both), [])
    async with postgres.transaction() as tx:
        await tx.fetch("select * from chancery.accounts")
        with pytest.raises(PostgresUnavailableError):
            async with asyncio.timeout(HELD_UP_SECONDS):
                await switch(postgres, V1, V2)
        assert await place.shows("Ada")
    await switch(postgres, V1, V2)
    assert await serving_version(postgres, "accounts") == replace(V2, role="serving")


async def test_versions_only_go_up_and_what_was_begun_from_another_definition_begins_anew(
    place: Place,
) -> None:
    postgres = place.postgres
    begun = await begin(postgres, "accounts", 3)
    with pytest.raises(RebuildError, match="accounts has a v3 already"):
        await begin(postgres, "accounts", 2)
    await place.build(begun)
    counted = "select next_offset from chancery.checkpoints where projector = 'accounts_v3'"
    assert await begin(postgres, "accounts", 3) == begun
    assert await postgres.fetch(counted) == [{"next_offset": 2}]
    await postgres.execute("update chancery.read_models set definition = 'another' where version = 3")
    assert await begin(postgres, "accounts", 3) == begun
    assert await postgres.fetch(counted) == []
    assert [digest.rows for digest in await digests(postgres, ["accounts_v3"])] == [0]


async def test_a_dropped_version_leaves_nothing_that_a_later_one_could_trip_over(place: Place) -> None:
    built = await begin(place.postgres, "accounts", 2)
    await place.build(built)
    await discard(place.postgres, built)
    for table in ("checkpoints", "parked_facts", "read_models"):
        sql = f"select count(*)::int as n from chancery.{table} where projector = 'accounts_v2'"
        assert await place.postgres.fetch(sql) == [{"n": 0}]
    await place.postgres.execute(
        "insert into chancery.checkpoints values ('accounts_v2', 0, 'x', 9, 'h', 10)"
    )
    await place.build(await begin(place.postgres, "accounts", 2))
    assert [digest.rows for digest in await digests(place.postgres, ["accounts_v2"])] == [1]


async def test_a_served_table_that_somebody_dropped_is_built_again(place: Place) -> None:
    async with running(place.runner.run(), place.watch.run()):
        await eventually(lambda: place.shows("Ada"))
        await place.postgres.execute("drop table chancery.accounts_v1 cascade")
        await place.rename("New")

        async def shows() -> bool:
            await create_tables(place.postgres)
            return await place.shows("New")

        await eventually(shows)


async def test_one_rebuild_of_a_read_model_at_a_time(postgres: Postgres) -> None:
    async with (
        one_at_a_time(postgres, "accounts") as first,
        one_at_a_time(postgres, "accounts") as second,
        one_at_a_time(postgres, "sessions") as other,
    ):
        assert (first, second, other) == (True, False, True)
    async with one_at_a_time(postgres, "accounts") as again:
        assert again
