"""The audit in PostgreSQL: months made when they are needed, by many at once; pages; what erasure takes away."""

import asyncio
from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from events.account import ProfileChanged
from events.errand import ErrandClosed
from events.streams import account_stream, errands_stream
from eventstore.facts import RecordedFact
from projectors.audit import Audit, Month, audit_row
from projectors.audit_facts import SHOWN
from readmodels.audit import (
    START,
    AuditEntry,
    AuditFilter,
    Place,
    audit_horizon,
    audit_page,
    has_audit_of,
)
from readmodels.dump import digests
from readmodels.positions import PositionWatch
from readmodels.tables import READ_MODELS, create_tables
from runtime.health import Health
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError
from tests.support.building import build, new_runner, new_tables
from tests.support.examples import NOON, recorded, started
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.table_dump import empty
from tests.support.tasks import running
from tests.support.writers import new_log
from tests.unit.test_events import example

WAIT = 10.0
MONTH = timedelta(days=31)
EVERYTHING = AuditFilter()


async def all_of(postgres: Postgres, wanted: AuditFilter = EVERYTHING, limit: int = 200) -> list[AuditEntry]:
    """A whole walk in pages of this size."""
    found: list[AuditEntry] = []
    horizon, after = await audit_horizon(postgres, 2), START
    while page := await audit_page(postgres, wanted, horizon, after, limit):
        found += page
        after = page[-1].place
    return found


async def test_every_fact_that_is_shown_can_be_stored_and_read(postgres: Postgres) -> None:
    await create_tables(postgres)
    facts = [replace(recorded(example(cls)), number=number) for number, cls in enumerate(SHOWN)]
    async with postgres.transaction() as tx:
        await Audit(1).apply(tx, facts)
    page = await audit_page(postgres, EVERYTHING, [1], START, 200)
    rows = {audit_row(fact).type: audit_row(fact) for fact in facts}
    assert {entry.type: (entry.details, entry.ip) for entry in page} == {
        name: (row.details, row.ip) for name, row in rows.items()
    }


async def test_a_page_and_its_horizon_are_of_one_moment_and_nothing_is_written(postgres: Postgres) -> None:
    await create_tables(postgres)
    first, second = (
        replace(recorded(example(cls)), number=number) for number, cls in enumerate([*SHOWN][:2])
    )
    async with postgres.transaction() as tx:
        await Audit(1).apply(tx, [first])
    async with postgres.snapshot() as tx:
        await audit_horizon(tx, 2)
        async with postgres.transaction() as other:
            await Audit(1).apply(other, [second])
        assert len(await audit_page(tx, EVERYTHING, [1], START, 200)) == 1
        with pytest.raises(PostgresUnavailableError, match="ReadOnly"):
            await tx.execute("delete from chancery.audit_v1")
    assert len(await audit_page(postgres, EVERYTHING, [1], START, 200)) == 2


async def test_months_are_made_by_many_at_once_and_nobody_halts(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    for month in range(30):
        for partition in (0, 1):
            account_id = account_id_in(partition)
            await scribe.write(stream_of(account_id), registered(account_id), at=NOON + month * MONTH)
    health, watch = Health(), PositionWatch(postgres)
    runners = [new_runner(log, keys, postgres, health) for _ in range(3)]
    async with running(*(runner.run() for runner in runners), watch.run()):
        assert await watch.wait_for("audit", {0: 30, 1: 30}, wait_seconds=WAIT), health.failing()
    found = await all_of(postgres, limit=7)
    assert len(found) == 60
    assert [entry.place.at for entry in found] == sorted((entry.place.at for entry in found), reverse=True)


async def test_a_month_that_another_partition_is_making_is_waited_for(postgres: Postgres) -> None:
    """What was made is remembered, but not before others can see it."""
    await create_tables(postgres)
    audit, (first, second) = Audit(1), of_one_month(2)

    async def apply(fact: RecordedFact) -> None:
        async with postgres.transaction() as tx:
            await audit.apply(tx, [fact])

    async with postgres.transaction() as tx:
        await audit.apply(tx, [first])
        other = asyncio.create_task(apply(second))
        assert (await asyncio.wait({other}, timeout=0.2))[1]
    await asyncio.wait_for(other, WAIT)
    assert await count(postgres) == 2


async def test_a_month_that_was_never_committed_or_is_gone_is_made_again(postgres: Postgres) -> None:
    await create_tables(postgres)
    audit, facts = Audit(1), of_one_month(5)

    async def apply_and_fail() -> None:
        async with postgres.transaction() as tx:
            await audit.apply(tx, facts[:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await apply_and_fail()
    for fact in facts[1:3]:
        async with postgres.transaction() as tx:
            await audit.apply(tx, [fact])
    await postgres.execute(f"drop table chancery.{Month.of('audit_v1', facts[0].at).name}")
    with pytest.raises(PostgresRejectedError):
        async with postgres.transaction() as tx:
            await audit.apply(tx, [facts[3]])
    async with postgres.transaction() as tx:
        await audit.apply(tx, [facts[3]])
    assert await count(postgres) == 1


async def count(postgres: Postgres) -> int:
    row = await postgres.fetch_one("select count(*) as entries from chancery.audit_v1")
    assert row is not None
    return int(row["entries"])


def of_one_month(count: int) -> list[RecordedFact]:
    return [replace(recorded(started()), number=number) for number in range(count)]


async def test_reading_is_not_locked_out_while_a_month_is_made(postgres: Postgres) -> None:
    await create_tables(postgres)
    async with postgres.transaction() as tx:
        await Audit(1).apply(tx, [recorded(started())])
        assert await asyncio.wait_for(all_of(postgres), 2) == []


async def test_filters_choose_by_account_type_and_span(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    ada, eve = account_id_in(0), account_id_in(0)
    for hours, person in enumerate((ada, eve, ada)):
        at = NOON + timedelta(hours=hours)
        await scribe.write(stream_of(person), registered(person), session_of(person, hours), at=at)
    await scribe.write(errands_stream(0), ErrandClosed(errand_id="e"))
    await build(log, keys, new_tables(postgres), [])

    async def count(wanted: AuditFilter) -> int:
        return len(await all_of(postgres, wanted, limit=1))

    one_hour = NOON + timedelta(hours=1)
    assert await count(EVERYTHING) == 6
    assert await count(AuditFilter(account_id=ada)) == 4
    assert await count(AuditFilter(account_id=ada, type="session.started")) == 2
    assert await count(AuditFilter(type="session.started")) == 3
    assert await count(AuditFilter(type="errand.closed")) == 0
    assert await count(AuditFilter(since=one_hour)) == 4
    assert await count(AuditFilter(until=one_hour)) == 2
    assert await count(AuditFilter(account_id=eve, since=one_hour, until=one_hour)) == 0
    assert await has_audit_of(postgres, ada)
    assert not await has_audit_of(postgres, account_id_in(0))


LATE = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=2, max_size=14)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LATE, meanwhile=LATE, limit=st.integers(1, 5))
async def test_a_walk_shows_what_was_there_at_its_begin_once_whatever_comes_late(
    postgres: Postgres, before: list[tuple[int, int]], meanwhile: list[tuple[int, int]], limit: int
) -> None:
    """Times are few and run freely, so that what comes meanwhile lies before, among and after the rest."""
    await empty(postgres)
    people = [account_id_in(0), account_id_in(1)]
    seqs = [0, 0]

    async def project(partition: int, minutes: int) -> Place:
        seqs[partition] += 1
        at = NOON + timedelta(minutes=minutes)
        fact = recorded(ProfileChanged(), account_stream(people[partition]))
        position = replace(fact.position, partition=partition, seq=seqs[partition])
        async with postgres.transaction() as tx:
            await Audit(1).apply(tx, [replace(fact, at=at, position=position)])
        return Place(at=at, partition=partition, seq=seqs[partition], number=0)

    there = [await project(*one) for one in before]
    horizon, after, seen = list(seqs), START, []
    late = iter(meanwhile)
    while page := await audit_page(postgres, EVERYTHING, horizon, after, limit):
        seen += [entry.place for entry in page]
        after = page[-1].place
        for one in islice(late, 3):
            await project(*one)
    assert sorted(seen, key=order) == sorted(there, key=order)
    assert seen == sorted(seen, key=order, reverse=True)


async def test_a_walk_without_its_horizon_would_show_what_came_late(postgres: Postgres) -> None:
    """The test of the test above: what it forbids does happen where the horizon is as of each page."""
    await create_tables(postgres)
    fact = recorded(ProfileChanged(), account_stream(account_id_in(0)))

    async def project(seq: int, minutes: int) -> None:
        position = replace(fact.position, seq=seq)
        async with postgres.transaction() as tx:
            await Audit(1).apply(tx, [replace(fact, at=NOON + timedelta(minutes=minutes), position=position)])

    await project(1, 1)
    await project(2, 5)
    (newest,) = await audit_page(postgres, EVERYTHING, [2], START, 1)
    await project(3, 3)
    with_horizon = await audit_page(postgres, EVERYTHING, [2], newest.place, 5)
    without = await audit_page(postgres, EVERYTHING, [3], newest.place, 5)
    assert [entry.place.seq for entry in with_horizon] == [1]
    assert [entry.place.seq for entry in without] == [3, 1]


def order(place: Place) -> tuple[datetime, int, int, int]:
    return (place.at, place.partition, place.seq, place.number)


async def test_what_a_request_came_from_goes_by_account_and_a_rebuild_after_erasure_agrees(
    postgres: Postgres,
) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    ada, eve = account_id_in(0), account_id_in(0)
    for person in (ada, eve):
        await scribe.write(stream_of(person), registered(person), session_of(person), at=NOON)
    await build(log, keys, new_tables(postgres), [])
    await postgres.execute(
        "update chancery.audit_v1 set ip = null, user_agent = null where account_id = $1", ada
    )
    assert [entry.ip for entry in await all_of(postgres, AuditFilter(account_id=ada))] == [None, None]
    assert "127.0.0.1" in [entry.ip for entry in await all_of(postgres, AuditFilter(account_id=eve))]
    erased = await digests(postgres, ["audit_v1"])
    keys.erase(stream_of(ada))
    await empty(postgres)
    await build(log, keys, new_tables(postgres), [])
    assert await digests(postgres, ["audit_v1"]) == erased


async def test_digests_tell_equal_tables_from_others(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    account_id = account_id_in(0)
    await Scribe(log, keys.keyring()).write(stream_of(account_id), registered(account_id), at=NOON)
    await build(log, keys, new_tables(postgres), [])
    first = await digests(postgres)
    assert [digest.read_model for digest in first] == list(READ_MODELS)
    assert await digests(postgres) == first
    await postgres.execute("update chancery.audit_v1 set number = number + 1")
    changed = {
        digest.read_model for digest, was in zip(await digests(postgres), first, strict=True) if digest != was
    }
    assert changed == {"audit"}
