"""PostgreSQL's read models: built once however the log is cut, by however many, whatever happens between."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from events.account import EmailVerified, ProfileChanged, RegistrationDiscarded
from events.fact import Event
from events.identifier import (
    IdentifierClaimed,
    IdentifierClaimedByChange,
    IdentifierReleased,
    IdentifierReserved,
    ReservationDropped,
)
from events.signing_keys import SigningKeyCreated
from events.streams import SIGNING_KEYS, client_stream, stream
from eventstore.memory_log import MemoryLog
from projectors.follower import Batch
from projectors.keep_going import OutrunError
from projectors.metrics import Metrics
from projectors.sessions import Sessions
from projectors.tables import facts_for
from projectors.versions import first_versions
from readmodels.accounts import account_by_id
from readmodels.clients import client_by_id
from readmodels.positions import PositionWatch
from readmodels.sessions import live_sessions, session_by_id
from readmodels.signing_keys import SigningKey, all_signing_keys
from readmodels.tables import create_tables
from runtime.health import Health
from runtime.postgres import Postgres
from tests.support.building import build, cut, new_runner, new_tables, opened, rest_of
from tests.support.examples import MINUTE, NOON, refreshed
from tests.support.memory_keys import KeyTopic
from tests.support.mortal import KilledError, MortalConnection, MortalTables
from tests.support.people import account_id_in, client, given_up, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.table_dump import dump, empty
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

WAIT = timedelta(seconds=10).total_seconds()


async def small_history(scribe: Scribe) -> str:
    """An account with two sessions, one of them revoked in the commit that began it; its id."""
    account_id = account_id_in(1)
    stream = stream_of(account_id)
    await scribe.write(stream, registered(account_id))
    await scribe.write(stream, EmailVerified(challenge_id="c"), ProfileChanged(display_name="Ada L."))
    kept, ended = session_of(account_id, 1), session_of(account_id, 2)
    await scribe.write(stream, kept, ended, revoked(ended), at=NOON)
    await scribe.write(stream, refreshed(2, NOON + MINUTE, ended.session_id))
    await scribe.write(stream, refreshed(2, NOON + MINUTE, kept.session_id))
    return account_id


async def test_facts_become_rows_that_the_query_side_reads(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    account_id = await small_history(scribe)
    waiting = account_id_in(0)
    await scribe.write(stream_of(waiting), registered(waiting))
    client_id = account_id_in(0)
    await scribe.write(client_stream(client_id), client(client_id), given_up("j1", NOON))
    key = SigningKeyCreated(
        kid="k1",
        alg="ES256",
        public_jwk=(("crv", "P-256"), ("kty", "EC")),
        created_at=NOON,
        private_pem="pem",
    )
    last = await scribe.write(SIGNING_KEYS, key)
    watch = PositionWatch(postgres)
    async with running(new_runner(log, keys, postgres).run(), watch.run()):
        wanted = {last.partition: last.seq, 1: 5}
        for projector in first_versions():
            assert await watch.wait_for(projector.name.removesuffix("_v1"), wanted, wait_seconds=WAIT)
    account = await account_by_id(postgres, account_id)
    assert account is not None
    assert (account.email, account.email_verified, account.display_name) == (
        "Ada@example.com",
        True,
        "Ada L.",
    )
    assert await account_by_id(postgres, waiting) is None
    (live,) = await live_sessions(postgres, account_id, NOON)
    assert (live.session_id, live.generation, live.amr) == (f"{account_id}-s1", 2, ("pwd",))
    assert await live_sessions(postgres, account_id, live.idle_expires_at) == ()
    ended = await session_by_id(postgres, f"{account_id}-s2")
    assert ended is not None
    assert (ended.generation, ended.ended_at, ended.ended_cause) == (1, NOON, "sign-out")
    found = await client_by_id(postgres, client_id)
    assert found is not None
    assert (found.scopes, found.audiences) == (client(client_id).scopes, client(client_id).audiences)
    public = {"crv": "P-256", "kty": "EC"}
    assert await all_signing_keys(postgres) == (
        SigningKey(kid="k1", alg="ES256", public_jwk=public, created_at=NOON, activates_at=NOON),
    )


async def test_two_runners_at_once_build_the_same_rows_as_one(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    watch = PositionWatch(postgres)
    runners = [new_runner(log, keys, postgres) for _ in range(2)]
    async with running(*(runner.run() for runner in runners), watch.run()):
        for _ in range(30):
            await small_history(scribe)
        assert await watch.wait_for("sessions", {1: 150}, wait_seconds=WAIT)
    together = await dump(postgres)
    await empty(postgres)
    watch = PositionWatch(postgres)
    async with running(new_runner(log, keys, postgres).run(), watch.run()):
        assert await watch.wait_for("sessions", {1: 150}, wait_seconds=WAIT)
    assert await dump(postgres) == together
    assert (len(together["accounts"]), len(together["sessions"])) == (30, 60)


@dataclass(frozen=True, slots=True)
class Cut:
    """One step of building: so many commits at once, how often, by whom, and after how many statements it is killed."""

    commits: int
    times: int
    builder: int
    dies_after: int | None


STEPS = st.lists(
    st.builds(Cut, st.integers(1, 7), st.integers(1, 3), st.integers(0, 1), st.none() | st.integers(0, 20)),
    max_size=12,
)
DEEDS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 14)), min_size=1, max_size=25)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS, steps=STEPS)
async def test_no_batching_redelivery_or_kill_shows_in_the_rows(
    postgres: Postgres, deeds: list[tuple[int, int]], steps: list[Cut]
) -> None:
    await require_same_rows(postgres, deeds, steps, MortalTables)


async def test_a_checkpoint_stored_before_its_rows_would_be_found_out(postgres: Postgres) -> None:
    """The test of the test above: with the classic bug in it, it fails."""
    steps = [Cut(commits=1, times=1, builder=0, dies_after=2)]
    with pytest.raises(AssertionError):
        await require_same_rows(postgres, [(0, 4)], steps, CheckpointFirst)


class CheckpointFirst(MortalTables):
    async def apply(self, partition: int, batch: Batch) -> None:
        before = self._known[partition]
        await super().apply(partition, Batch(commits=(), head=batch.head))
        async with self._postgres.transaction() as tx:
            self._known[partition] = before
            for projector, placed in facts_for(self._projectors, {partition: before}, {partition: batch}):
                if placed:
                    await projector.apply(MortalConnection(tx, self), [one.fact for one in placed])


async def require_same_rows(
    postgres: Postgres, deeds: list[tuple[int, int]], steps: list[Cut], builder: type[MortalTables]
) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    people = [account_id_in(0) for _ in range(3)]
    for number, (person, deed) in enumerate(deeds):
        at = NOON + number * timedelta(days=5)
        name, commit = commit_of(people[person], deed)
        await scribe.write(name, *commit, at=at)
    await empty(postgres)
    await build(log, keys, new_tables(postgres), [])
    expected = await dump(postgres)
    await empty(postgres)
    metrics = Metrics(CollectorRegistry())
    builders = [builder(postgres, first_versions(), metrics) for _ in range(2)]
    await build_in_steps(log, keys, builders, steps)
    await build(log, keys, new_tables(postgres), [])
    assert await dump(postgres) == expected


def commit_of(account_id: str, deed: int) -> tuple[str, list[Event]]:
    """A deed and the one after it, in their stream: the person's, or that of its address."""
    for name, deeds in (
        (stream_of(account_id), deeds_of(account_id)),
        (stream("identifier", account_id), deeds_at_address(account_id)),
    ):
        if deed < len(deeds):
            return name, deeds[deed:][:2]
        deed -= len(deeds)
    raise AssertionError(deed)


def deeds_at_address(account_id: str) -> list[Event]:
    expiry = NOON + 15 * MINUTE
    return [
        IdentifierReserved(account_id=account_id, challenge_id="c", code_expires_at=expiry),
        IdentifierReserved(account_id="another", challenge_id="d", code_expires_at=expiry),
        IdentifierClaimed(account_id=account_id),
        ReservationDropped(account_id="another"),
        IdentifierClaimedByChange(account_id=account_id, change_id="change"),
        *(IdentifierReleased(account_id=account_id, claim_id=claim) for claim in ("change", account_id)),
    ]


def deeds_of(account_id: str) -> list[Event]:
    session = session_of(account_id)
    return [
        registered(account_id),
        EmailVerified(challenge_id="c"),
        RegistrationDiscarded(cause="superseded"),
        ProfileChanged(display_name="Eve"),
        session,
        refreshed(2, NOON + MINUTE, session.session_id),
        refreshed(3, NOON + 2 * MINUTE, session.session_id),
        revoked(session),
    ]


async def build_in_steps(
    log: MemoryLog, keys: KeyTopic, builders: list[MortalTables], steps: list[Cut]
) -> None:
    """Two builders take turns from what each of them last knew, so that one is often behind the other."""
    waiting: dict[int, list[Batch]] = {}
    for step in steps:
        tables = builders[step.builder]
        if not waiting.get(step.builder):
            waiting[step.builder] = await rest_of(log, keys, await opened(log, tables), tables)
        batches = cut(waiting[step.builder][: step.commits], [])
        tables.statements_left = step.dies_after
        try:
            for batch in batches * step.times:
                await tables.apply(0, batch)
        except (OutrunError, KilledError):
            waiting[step.builder] = []
        else:
            waiting[step.builder] = waiting[step.builder][step.commits :]
        tables.statements_left = None


async def test_a_new_read_model_is_built_beside_those_that_are_ahead(postgres: Postgres) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    account_id = account_id_in(0)
    await scribe.write(stream_of(account_id), registered(account_id), session_of(account_id))
    await build(log, keys, new_tables(postgres, [Sessions(1)]), [])
    await scribe.write(stream_of(account_id), revoked(session_of(account_id)))
    await build(log, keys, new_tables(postgres), [1])
    rows = await dump(postgres)
    assert (len(rows["accounts"]), len(rows["sessions"])) == (1, 1)
    ended = await session_by_id(postgres, session_of(account_id).session_id)
    assert ended is not None
    assert ended.ended_cause == "sign-out"


async def test_tables_that_vanish_are_built_again(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    await small_history(Scribe(log, keys.keyring()))
    watch = PositionWatch(postgres)
    async with running(new_runner(log, keys, postgres).run(), watch.run()):
        assert await watch.wait_for("accounts", {1: 5}, wait_seconds=WAIT)
        before = await dump(postgres)
        await postgres.execute("drop schema chancery cascade")

        async def is_whole_again() -> bool:
            rows = await postgres.fetch_one("select to_regclass('chancery.sessions_v1') is not null as there")
            return rows is not None and rows["there"] and await dump(postgres) == before

        await eventually(is_whole_again)


async def test_tables_may_be_created_by_many_at_once(postgres: Postgres) -> None:
    for _ in range(20):
        await asyncio.gather(*(create_tables(postgres) for _ in range(4)))
        await postgres.execute("drop schema chancery cascade")


async def test_tables_of_another_log_are_not_touched(postgres: Postgres) -> None:
    log, keys = await new_log(), KeyTopic()
    await build(log, keys, new_tables(postgres), [])
    health = Health()
    other = await new_log()
    async with running(new_runner(other, keys, postgres, health).run()):
        await eventually(lambda: says(health, "tables-0", "drop the schema chancery"))


async def test_a_fact_that_the_tables_refuse_halts_after_all_before_it(postgres: Postgres) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    good, bad, other = account_id_in(0), account_id_in(0), account_id_in(1)
    await scribe.write(stream_of(good), registered(good))
    too_large = refreshed(2**40, NOON, session_of(bad).session_id)
    await scribe.write(stream_of(bad), session_of(bad), too_large)
    await scribe.write(stream_of(other), registered(other))
    health = Health()
    async with running(new_runner(log, keys, postgres, health).run()):
        await eventually(lambda: says(health, "tables-0", "halted"))
        await eventually(lambda: has_rows(postgres, "accounts", 2))
        await eventually(lambda: only_fails(health, "tables-0"))


async def test_a_backend_that_dies_is_replaced_and_nothing_is_lost(
    postgres: Postgres, database_dsn: str
) -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    watch, killer = PositionWatch(postgres), await Postgres.open(database_dsn, max_connections=1)
    try:
        async with running(new_runner(log, keys, postgres).run(), watch.run()):
            for number in range(1, 6):
                account_id = account_id_in(1)
                position = await scribe.write(stream_of(account_id), registered(account_id))
                await killer.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
                assert await watch.wait_for("accounts", {1: position.seq}, wait_seconds=WAIT), number
        assert await has_rows(killer, "accounts", 5)
    finally:
        await killer.close()


async def test_a_position_that_is_not_reached_is_waited_for_no_longer_than_asked(postgres: Postgres) -> None:
    watch = PositionWatch(postgres)
    async with running(watch.run()):
        began = asyncio.get_running_loop().time()
        assert not await watch.wait_for("accounts", {0: 1}, wait_seconds=0.2)
        assert 0.2 <= asyncio.get_running_loop().time() - began < 1


async def test_an_acknowledged_fact_is_visible_soon(postgres: Postgres) -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    watch = PositionWatch(postgres)
    seconds = []
    async with running(new_runner(log, keys, postgres).run(), watch.run()):
        assert await watch.wait_for("sessions", {0: 0}, wait_seconds=WAIT)
        for _ in range(20):
            account_id = account_id_in(0)
            position = await scribe.write(stream_of(account_id), registered(account_id))
            began = asyncio.get_running_loop().time()
            assert await watch.wait_for("sessions", {0: position.seq}, wait_seconds=WAIT)
            seconds.append(asyncio.get_running_loop().time() - began)
    assert sorted(seconds)[10] < 0.1


async def test_an_erased_person_leaves_no_address_when_rows_are_built_again(postgres: Postgres) -> None:
    log, keys = await new_log(), KeyTopic()
    account_id = account_id_in(0)
    stream = stream_of(account_id)
    await Scribe(log, keys.keyring()).write(stream, replace(registered(account_id), policy="open"))
    keys.erase(stream)
    await build(log, keys, new_tables(postgres), [])
    account = await account_by_id(postgres, account_id)
    assert account is not None
    assert (account.email, account.display_name) == (None, None)


async def test_cancelled_statements_leave_neither_locks_nor_answers_behind(postgres: Postgres) -> None:
    async def sleep_in_transaction() -> None:
        async with postgres.transaction() as tx:
            await tx.execute("select pg_advisory_xact_lock(1)")
            await tx.execute("select pg_sleep(30)")

    for _ in range(15):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await sleep_in_transaction()
        row = await postgres.fetch_one("select 42 as answer")
        assert row == {"answer": 42}
    async with postgres.transaction() as tx:
        await tx.execute("set local lock_timeout = '5s'; select pg_advisory_xact_lock(1)")


async def says(health: Health, part: str, words: str) -> bool:
    return words in health.failing().get(part, "")


async def only_fails(health: Health, part: str) -> bool:
    return list(health.failing()) == [part]


async def has_rows(postgres: Postgres, table: str, count: int) -> bool:
    return len((await dump(postgres))[table]) == count
