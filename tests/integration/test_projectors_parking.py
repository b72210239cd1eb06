"""A fact that a projector cannot apply: its stream waits there in order, everybody else goes on, nothing is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from events.account import EmailVerified, ProfileChanged
from eventstore.chain import Head
from eventstore.commit import Record
from eventstore.errors import UnavailableError
from eventstore.facts import RecordedFact
from eventstore.log import Log
from eventstore.memory_log import MemoryLog
from projectors.accounts import Accounts
from projectors.audit import Audit
from projectors.follower import read_log_id
from projectors.lag_watch import LagWatch
from projectors.metrics import Metrics
from projectors.parking import BEHIND, MOST_PARKED_STREAMS, retry
from projectors.runner import Runner
from projectors.sessions import Sessions
from projectors.tables import Tables
from readmodels.checkpoints import is_fresh
from readmodels.projections import projector_status
from runtime.health import Health
from runtime.postgres import Connection, Postgres
from tests.support.building import cut, new_tables, rest_of
from tests.support.chains import commit_after
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.table_dump import dump, empty
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

BAD = "Robert"
POISON = ProfileChanged(display_name=BAD)


class BuggyAccounts(Accounts):
    """It cannot bear a name, and finds out after it has written its rows. Its repair is the class above."""

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        await super().apply(tx, facts)
        if any(getattr(fact.event, "display_name", "") == BAD for fact in facts):
            await tx.execute(self.fault)

    fault = "select 1 / 0"


class CarelessAccounts(BuggyAccounts):
    """As above, by a bug in Python."""

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        await Accounts.apply(self, tx, facts)
        for fact in facts:
            if getattr(fact.event, "display_name", "") == BAD:
                raise KeyError(fact.event)


@dataclass(kw_only=True)
class Stage:
    postgres: Postgres
    projector: Accounts
    log: MemoryLog
    keys: KeyTopic = field(default_factory=KeyTopic)
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def runner(self) -> Runner:
        metrics = Metrics(self.registry)
        tables = Tables(self.postgres, (self.projector, Sessions(1), Audit(1)), metrics)
        return Runner(self.log, self.keys.keyring(), tables, self.health, metrics)

    def scribe(self) -> Scribe:
        return Scribe(self.log, self.keys.keyring())

    async def parked(self) -> list[tuple[str, str, int, int, str]]:
        rows = await self.postgres.fetch(
            "select projector, stream, seq, number, reason from chancery.parked_facts order by 1, 2, 3, 4"
        )
        return [tuple(row.values()) for row in rows]

    async def until_well(self, *, parked: int) -> None:
        """Everything was read, and so many facts wait."""

        async def is_so() -> bool:
            return self.health.failing() == {} and len(await self.parked()) == parked

        await eventually(is_so)

    async def try_again(self, stream: str, projector: Accounts | None = None) -> str | None:
        return await retry(self.postgres, self.log, self.keys.keyring(), projector or Accounts(1), stream)


@pytest.fixture(params=[BuggyAccounts, CarelessAccounts], ids=["refused", "bug"])
async def stage(postgres: Postgres, request: pytest.FixtureRequest) -> Stage:
    return Stage(postgres=postgres, projector=request.param(1), log=await new_log())


async def poisoned_history(scribe: Scribe) -> tuple[str, str]:
    """Two people, one of them poisoned in the middle of her history; their streams, hers first."""
    bad, good = account_id_in(0), account_id_in(0)
    await scribe.write(stream_of(bad), registered(bad))
    await scribe.write_all(
        [
            (stream_of(good), registered(good)),
            (stream_of(bad), EmailVerified(challenge_id="c")),
            (stream_of(bad), POISON),
            (stream_of(good), EmailVerified(challenge_id="c")),
        ]
    )
    await scribe.write(stream_of(bad), ProfileChanged(display_name="Bobby"), session_of(bad))
    await scribe.write(stream_of(good), ProfileChanged(display_name="Ada"))
    return stream_of(bad), stream_of(good)


async def test_a_stream_is_parked_in_order_and_the_others_go_on(stage: Stage) -> None:
    bad, good = await poisoned_history(stage.scribe())
    async with running(stage.runner().run()):
        await stage.until_well(parked=4)
    places = [(stream, seq, number) for _, stream, seq, number, _ in await stage.parked()]
    assert places == [(bad, 2, 1), (bad, 2, 2), (bad, 3, 0), (bad, 3, 1)]
    reasons = [reason for *_, reason in await stage.parked()]
    assert reasons[1:] == [BEHIND] * 3
    assert BAD not in reasons[0]
    names = await stage.postgres.fetch(
        "select account_id, status, display_name from chancery.accounts_v1 order by status"
    )
    assert [tuple(row.values()) for row in names] == [
        (good.removeprefix("account-"), "active", "Ada"),
        (bad.removeprefix("account-"), "pending", "Ada"),
    ]
    others = await dump(stage.postgres)
    assert (len(others["sessions"]), len(others["audit"])) == (1, 8)


async def test_a_parked_stream_does_not_make_the_others_stale(stage: Stage) -> None:
    """Also where the log ends with a record that does not count."""
    await poisoned_history(stage.scribe())
    void = commit_after(Head(seq=70, hash="elsewhere", next_offset=1))
    assert void.value is not None
    await stage.log.append(0, b"k", void.value)
    async with running(stage.runner().run()):
        await stage.until_well(parked=4)

        async def is_whole() -> bool:
            names = ("accounts", "audit")
            return await is_fresh(stage.postgres, names, partitions=1, stale=timedelta(seconds=3))

        await eventually(is_whole)


async def test_what_is_parked_is_seen(stage: Stage) -> None:
    bad, _ = await poisoned_history(stage.scribe())
    runner = stage.runner()
    watch = LagWatch(
        [runner], stage.postgres, stage.health, Metrics(CollectorRegistry()), timedelta(seconds=9)
    )
    async with running(runner.run(), watch.run()):
        await stage.until_well(parked=4)
    status = {
        one.projector: one.parked_streams
        for one in await projector_status(stage.postgres, partitions=1, limit=timedelta(seconds=9))
    }
    (shown,) = status["accounts_v1"]
    assert (shown.stream, shown.facts, shown.type, status["audit_v1"]) == (
        bad,
        4,
        "account.email_verified",
        (),
    )
    assert {**shown.as_object(), "reason": "", "parked_at": ""} == {
        "stream": bad,
        "position": "0:2",
        "type": "account.email_verified",
        "reason": "",
        "facts": 4,
        "parked_at": "",
    }


async def test_a_retry_after_the_repair_leaves_the_rows_as_if_nothing_had_been(stage: Stage) -> None:
    bad, _ = await poisoned_history(stage.scribe())
    async with running(stage.runner().run()):
        await stage.until_well(parked=4)
    assert await stage.try_again(bad) is None
    assert await stage.parked() == []
    repaired = await dump(stage.postgres)
    await empty(stage.postgres)
    stage.projector = Accounts(1)
    stage.health = Health()
    stage.registry = CollectorRegistry()
    async with running(stage.runner().run()):
        await stage.until_well(parked=0)
    assert await dump(stage.postgres) == repaired


async def test_a_retry_before_the_repair_changes_nothing_but_the_reason(stage: Stage) -> None:
    bad, _ = await poisoned_history(stage.scribe())
    async with running(stage.runner().run()):
        await stage.until_well(parked=4)
        before = await dump(stage.postgres)
        await stage.postgres.execute("update chancery.parked_facts set reason = 'as of yesterday'")
        reason = await stage.try_again(bad, stage.projector)
        assert reason is not None
        assert [one for *_, one in await stage.parked()] == [reason, *["as of yesterday"] * 3]
        assert await dump(stage.postgres) == before
        assert await stage.try_again("account-of-nobody") is None


class InterruptedLog(Log):
    """Before each read, something happens."""

    def __init__(self, log: MemoryLog, happens: Callable[[], Awaitable[None]]) -> None:
        self._log = log
        self._happens = happens

    @property
    def partitions(self) -> int:
        return self._log.partitions

    async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
        return await self._log.send(partition, key, value)

    async def end(self, partition: int, *, at_least: int = 0) -> int:
        return await self._log.end(partition, at_least=at_least)

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        await self._happens()
        return await self._log.read(partition, offset, wait_seconds=wait_seconds)


async def test_a_stream_that_grows_while_it_is_retried_stays_in_order(stage: Stage) -> None:
    """What joins it meanwhile is read as well; what never stops joining is given up, and nothing is half done."""
    scribe, joins = stage.scribe(), 2
    bad, _ = await poisoned_history(scribe)

    async def join() -> None:
        nonlocal joins
        if joins:
            joins -= 1
            before = len(await stage.parked())
            await scribe.write(bad, ProfileChanged(display_name=f"Bobby {joins}"))
            await stage.until_well(parked=before + 1)

    async def try_again() -> str | None:
        log, keyring = InterruptedLog(stage.log, join), stage.keys.keyring()
        return await retry(stage.postgres, log, keyring, Accounts(1), bad)

    async with running(stage.runner().run()):
        await stage.until_well(parked=4)
        joins = 1000
        with pytest.raises(UnavailableError, match="grows faster"):
            await try_again()
        joins = 2
        assert await try_again() is None
    (row,) = await stage.postgres.fetch(
        "select display_name from chancery.accounts_v1 where account_id = $1", bad.removeprefix("account-")
    )
    assert row["display_name"] == "Bobby 0"


async def test_too_many_parked_streams_halt_the_partition(stage: Stage) -> None:
    scribe = stage.scribe()
    for _ in range(MOST_PARKED_STREAMS + 1):
        account_id = account_id_in(0)
        await scribe.write(stream_of(account_id), registered(account_id), POISON)
    async with running(stage.runner().run()):

        async def is_halted() -> bool:
            reason = stage.health.failing().get("tables-0", "")
            return f"accounts_v1 has parked {MOST_PARKED_STREAMS} streams already" in reason

        await eventually(is_halted)
    assert len({stream for _, stream, *_ in await stage.parked()}) == MOST_PARKED_STREAMS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 4), max_size=6))
async def test_no_batching_shows_in_what_is_parked(postgres: Postgres, cuts: list[int]) -> None:
    log, keys = await new_log(), KeyTopic()
    bad, _ = await poisoned_history(Scribe(log, keys.keyring()))
    await empty(postgres)
    tables = new_tables(postgres, (BuggyAccounts(1), Audit(1)))
    head = await tables.open(0, await read_log_id(log, 0))
    await postgres.execute("delete from chancery.parked_facts")
    runner = Runner(log, keys.keyring(), tables, Health(), Metrics(CollectorRegistry()))
    for batch in cut(await rest_of(log, keys, head, tables), cuts):
        await runner._apply(0, batch)  # noqa: SLF001  # what it does with a batch, whatever its size
    rows = await postgres.fetch("select stream, seq, number from chancery.parked_facts order by seq, number")
    assert [tuple(row.values()) for row in rows] == [(bad, 2, 1), (bad, 2, 2), (bad, 3, 0), (bad, 3, 1)]
    assert len((await dump(postgres))["audit"]) == 8
