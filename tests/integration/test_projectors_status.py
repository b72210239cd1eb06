"""What projectors report of themselves: live, building, behind, halted, silent; and when a lag fails readiness."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from eventstore.memory_log import MemoryLog
from projectors.follower import Batch
from projectors.lag_watch import LagWatch
from projectors.metrics import Metrics
from projectors.runner import Runner
from projectors.sessions import Sessions
from projectors.turns import Sharing
from readmodels.checkpoints import is_fresh
from readmodels.consumer_reports import Report, publish_reports
from readmodels.pauses import pause
from readmodels.projections import ProjectorStatus, projector_status
from readmodels.tables import READ_MODELS, create_tables
from runtime.health import Health
from runtime.postgres import Postgres, PostgresUnavailableError
from tests.support.building import build, new_runner, new_tables
from tests.support.memory_keys import KeyTopic
from tests.support.memory_sink import MemorySink
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.table_dump import dump
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

VERSIONS = [f"{read_model}_v1" for read_model in READ_MODELS]
LIMIT = timedelta(seconds=10)


async def status(postgres: Postgres, limit: timedelta = LIMIT) -> Mapping[str, ProjectorStatus]:
    found = await projector_status(postgres, partitions=2, limit=limit)
    return {one.projector: one for one in found}


def watch(
    runner: Runner,
    postgres: Postgres,
    health: Health,
    limit: timedelta = LIMIT,
    registry: CollectorRegistry | None = None,
) -> LagWatch:
    return LagWatch([runner], postgres, health, Metrics(registry or CollectorRegistry()), limit)


async def write_some(log: MemoryLog, keys: KeyTopic) -> Scribe:
    scribe = Scribe(log, keys.keyring())
    for partition in (0, 1):
        account_id = account_id_in(partition)
        await scribe.write(stream_of(account_id), registered(account_id))
    return scribe


async def test_two_processes_share_the_partitions_and_each_tells_of_its_own(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = await write_some(log, keys)
    runners = [
        Runner(
            log,
            keys.keyring(),
            new_tables(postgres),
            Health(),
            Metrics(CollectorRegistry()),
            Sharing(postgres=postgres),
        )
        for _ in range(2)
    ]

    async def each_has_one() -> bool:
        told = [[report.partition for report in runner.reports()] for runner in runners]
        return sorted(told) == [[0], [1]]

    async with running(*(runner.run() for runner in runners)):
        await eventually(each_has_one)
        for partition in (0, 1):
            account_id = account_id_in(partition)
            await scribe.write(stream_of(account_id), registered(account_id))

        async def all_is_applied() -> bool:
            whole = await is_fresh(postgres, READ_MODELS, partitions=2, stale=timedelta(seconds=3))
            return whole and len((await dump(postgres))["accounts"]) == 4

        await eventually(all_is_applied)
        await pause(postgres, "tables")

        async def nobody_has_any() -> bool:
            return not any(runner.reports() for runner in runners)

        await eventually(nobody_has_any)
        assert {(await status(postgres))[name].state for name in VERSIONS} == {"paused"}


async def test_projectors_that_keep_up_are_live(postgres: Postgres) -> None:
    log, keys, health, registry = await new_log(2), KeyTopic(), Health(), CollectorRegistry()
    await write_some(log, keys)
    runner = new_runner(log, keys, postgres, health)

    async def all_tables_are_live() -> bool:
        await create_tables(postgres)
        found = await status(postgres)
        return all(found[name].state == "live" for name in VERSIONS)

    async with running(runner.run(), watch(runner, postgres, health, registry=registry).run()):
        await eventually(all_tables_are_live)
        found = await status(postgres)
        assert {found[name].lag_records for name in VERSIONS} == {0}
        assert [one.seq for one in found["audit_v1"].partitions] == [1, 1]
        assert all(0 <= (found[name].lag_seconds or 0) < 5 for name in VERSIONS)
        assert found["valkey_v1"].state == "silent"
        assert health.failing() == {}
        labels = {"consumer": "tables", "partition": "1"}
        assert registry.get_sample_value("chancery_projector_lag_records", labels) == 0
        assert (registry.get_sample_value("chancery_projector_lag_seconds", labels) or 9) < 5


async def test_a_partition_that_halted_is_shown_with_its_reason(postgres: Postgres) -> None:
    log, keys, health = await new_log(2), KeyTopic(), Health()
    await write_some(log, keys)
    await log.append(1, b"k", b"{}")
    runner = new_runner(log, keys, postgres, health)

    async def is_halted() -> bool:
        await create_tables(postgres)
        return (await status(postgres))["sessions_v1"].state == "halted"

    async with running(runner.run(), watch(runner, postgres, health, timedelta(0)).run()):
        await eventually(is_halted)
    good, bad = (await status(postgres))["sessions_v1"].partitions
    assert (good.state, good.reason) == ("live", None)
    assert (bad.lag_records, bad.reason) == (
        1,
        "partition 1, offset 2: not a record of Chancery: Object missing required field `v`",
    )
    assert "tables-1-lag" not in health.failing()


async def test_a_new_read_model_is_building_while_the_others_are_live(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    await write_some(log, keys)
    await build(log, keys, new_tables(postgres), [])
    await postgres.execute("update chancery.checkpoints set fresh_at = clock_timestamp()")
    at_end = Report(partition=0, seq=1, next_offset=2, log_end=2, lag_seconds=0.1, halted=None)
    await publish_reports(postgres, "tables", [at_end])
    await postgres.execute(
        "update chancery.checkpoints set fresh_at = null, seq = 0, next_offset = 1 where projector = 'audit_v1'"
    )
    found = await status(postgres)
    assert (found["audit_v1"].partitions[0].state, found["accounts_v1"].partitions[0].state) == (
        "building",
        "live",
    )
    assert found["audit_v1"].partitions[0].lag_records == 1


async def test_a_consumer_that_reports_no_more_is_silent(postgres: Postgres) -> None:
    await create_tables(postgres)
    report = Report(partition=0, seq=1, next_offset=2, log_end=2, lag_seconds=0.1, halted=None)
    await publish_reports(postgres, "valkey_v1", [report, replace(report, partition=1)])
    assert (await status(postgres))["valkey_v1"].state == "live"
    assert (await status(postgres, timedelta(0)))["valkey_v1"].state == "behind"
    await postgres.execute("update chancery.consumer_reports set reported_at = reported_at - interval '11 s'")
    fallen = (await status(postgres))["valkey_v1"]
    assert (fallen.state, fallen.lag_records) == ("silent", 0)
    assert 11 < (fallen.lag_seconds or 0) < 16


async def test_of_two_consumers_the_further_one_is_believed_until_it_falls_silent(postgres: Postgres) -> None:
    await create_tables(postgres)
    ahead = Report(partition=0, seq=8, next_offset=9, log_end=9, lag_seconds=0.1, halted=None)
    halted = replace(ahead, seq=1, next_offset=2, halted="an unknown event")
    for report in (halted, ahead, halted):
        await publish_reports(postgres, "valkey_v1", [report])
    assert (await status(postgres))["valkey_v1"].partitions[0].state == "live"
    await postgres.execute("update chancery.consumer_reports set reported_at = reported_at - interval '11 s'")
    await publish_reports(postgres, "valkey_v1", [halted])
    assert (await status(postgres))["valkey_v1"].partitions[0].reason == "an unknown event"


class Reluctant(MemorySink):
    """A store that takes nothing while it is away."""

    is_away = False

    async def apply(self, partition: int, batch: Batch) -> None:
        if self.is_away:
            raise PostgresUnavailableError("away")
        await super().apply(partition, batch)

    async def mark_fresh(self, asked_at: datetime, ends: Mapping[int, int]) -> set[int]:
        return set() if self.is_away else await super().mark_fresh(asked_at, ends)


async def test_only_a_lag_that_lasts_fails_readiness(postgres: Postgres) -> None:
    log, keys, health, sink = await new_log(), KeyTopic(), Health(), Reluctant()
    scribe = Scribe(log, keys.keyring())
    account_id = account_id_in(0)
    runner = Runner(log, keys.keyring(), sink, health, Metrics(CollectorRegistry()))

    async def says_behind() -> bool:
        return "behind the log" in health.failing().get("memory-0-lag", "")

    async def is_well() -> bool:
        return health.failing() == {} and any(one.lag_seconds is not None for one in runner.reports())

    async with running(runner.run(), watch(runner, postgres, health, timedelta(seconds=2)).run()):
        await eventually(is_well)
        sink.is_away = True
        began = datetime.now().astimezone()
        await scribe.write(stream_of(account_id), revoked(session_of(account_id)))
        await eventually(says_behind)
        assert datetime.now().astimezone() - began > timedelta(seconds=1.5)
        sink.is_away = False
        await eventually(is_well)


async def test_a_table_of_an_older_checkpoint_is_not_taken_for_its_consumer(postgres: Postgres) -> None:
    """A projector that is behind its consumer has not stopped where that halted."""
    log, keys = await new_log(2), KeyTopic()
    await build(log, keys, new_tables(postgres, [Sessions(1)]), [])
    halted = Report(partition=0, seq=0, next_offset=1, log_end=3, lag_seconds=None, halted="a bad record")
    await publish_reports(postgres, "tables", [halted])
    assert (await status(postgres))["sessions_v1"].partitions[0].state == "halted"
    await postgres.execute("update chancery.checkpoints set next_offset = 2, fresh_at = clock_timestamp()")
    assert (await status(postgres))["sessions_v1"].partitions[0].state == "live"
