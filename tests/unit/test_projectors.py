"""Projectors without their stores: what becomes of rows, how the log is followed, when a partition halts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from events.account import (
    AccountRegistered,
    EmailVerified,
    ProfileChanged,
    RegistrationDiscarded,
    SessionRevoked,
)
from events.fact import Event
from eventstore.chain import Head
from eventstore.commit import Position
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact
from eventstore.keyring import KeyRecord, Keyring
from eventstore.memory_log import MemoryLog
from projectors.accounts_v1 import evolve as evolve_account
from projectors.follower import Follower, read_log_id
from projectors.keep_going import Course, OutrunError, keep_going
from projectors.metrics import Metrics
from projectors.projector import fold_rows, storable
from projectors.runner import Runner
from projectors.sessions_v1 import evolve as evolve_session
from readmodels.accounts_v1 import Account
from readmodels.checkpoints import Notice, parse_notice
from readmodels.sessions_v1 import Session
from readmodels.statements import load_statements
from runtime.health import Health
from tests.support.chains import commit_after
from tests.support.examples import MINUTE, NOON, REGISTERED, refreshed, started
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic, MemoryKeyStore
from tests.support.memory_sink import MemorySink
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

REVOKED = SessionRevoked(session_id="s1", cause="sign-out")
HANDLES: frozenset[type[Event]] = frozenset({SessionRevoked})


def recorded(event: Event) -> RecordedFact:
    return RecordedFact(
        stream="account-acc", version=1, event=event, at=NOON, position=Position(partition=0, seq=1)
    )


def account(*events: Event) -> Account | None:
    row = None
    for event in events:
        row = evolve_account(row, recorded(event))
    return row


def session(*events: Event) -> Session | None:
    row = None
    for event in events:
        row = evolve_session(row, recorded(event))
    return row


PENDING = Account(
    account_id="acc",
    status="pending",
    email="Ada@example.com",
    email_verified=False,
    display_name="Ada",
    created_at=NOON,
)


def test_a_registration_waits_until_its_address_is_proven() -> None:
    assert account(REGISTERED) == PENDING
    proven = replace(PENDING, status="active", email_verified=True)
    assert account(REGISTERED, EmailVerified(challenge_id="c")) == proven


def test_the_open_policy_lets_in_at_once_unproven() -> None:
    let_in = replace(PENDING, status="active")
    assert account(replace(REGISTERED, policy="open")) == let_in


def test_a_discarded_registration_leaves_no_row_and_an_active_one_stays() -> None:
    discarded = RegistrationDiscarded(cause="superseded")
    assert account(REGISTERED, discarded) is None
    assert account(replace(REGISTERED, policy="open"), discarded) is not None


def test_the_name_of_a_pending_registration_is_not_changed() -> None:
    assert account(REGISTERED, ProfileChanged(display_name="Eve")) == PENDING


def test_an_ended_session_never_lives_again() -> None:
    ended = session(started(), refreshed(2, NOON + MINUTE), REVOKED)
    assert ended is not None
    assert (ended.generation, ended.ended_at, ended.ended_cause) == (2, NOON, "sign-out")
    assert session(started(), refreshed(2, NOON + MINUTE), REVOKED, refreshed(3, NOON), started()) == ended
    assert not ended.is_live(NOON)


def test_a_session_is_live_until_either_of_its_ends() -> None:
    begun = session(started())
    assert begun is not None
    assert begun.is_live(begun.idle_expires_at - timedelta(microseconds=1))
    assert not begun.is_live(begun.idle_expires_at)


def test_only_rows_that_changed_are_written() -> None:
    begun = session(started())
    assert begun is not None
    facts = [("s1", recorded(started())), ("s2", recorded(started("s2")))]
    changed, gone = fold_rows({"s1": begun}, facts, evolve_session)
    assert ([row.session_id for row in changed], gone) == (["s2"], [])


def test_text_that_postgresql_cannot_store_is_made_storable() -> None:
    assert storable("a\x00b") == "a\ufffdb"
    assert storable(None) is None


def test_notices_say_who_reached_what_and_strangers_are_ignored() -> None:
    notice = Notice(projectors=("a_v1", "b_v1"), partition=3, seq=17)
    assert parse_notice(notice.render()) == notice
    assert parse_notice("hello") is None


def test_statements_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "things.sql").write_text("-- name: one\nselect 1;\n\n-- name: two\nselect 2;\n")
    assert load_statements(str(tmp_path / "things.py")) == {"one": "select 1;", "two": "select 2;"}


def test_health_names_what_fails_until_it_works() -> None:
    health = Health()
    health.set("a", "is down")
    health.set("b", None)
    assert health.failing() == {"a": "is down"}
    health.set("a", None)
    assert health.failing() == {}


async def test_what_stands_before_a_bad_record_is_handed_out_first() -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    account_id = account_id_in(0)
    await scribe.write(stream_of(account_id), revoked(session_of(account_id)))
    await log.append(0, b"k", b"not JSON")
    follower = Follower(log, keys.keyring(), 0, Head(), HANDLES)
    batch = await follower.next(wait_seconds=1)
    assert batch is not None
    assert [fact.event for commit in batch.commits for fact in commit.facts] == [
        revoked(session_of(account_id))
    ]
    before = follower.head
    with pytest.raises(CorruptLogError):
        await follower.next(wait_seconds=1)
    assert follower.head == before


async def test_an_event_of_an_unknown_type_is_never_passed_over() -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    head = await scribe.head(0)
    record = commit_after(head)
    assert record.value is not None
    await scribe.append(0, b"k", record.value.replace(b"identifier.code_rejected", b"identifier.unheard_of"))
    follower = Follower(log, keys.keyring(), 0, head, HANDLES)
    with pytest.raises(CorruptLogError, match="unheard_of"):
        await follower.next(wait_seconds=1)


async def test_void_records_move_the_reader_and_hand_out_nothing() -> None:
    log, keys = await new_log(), KeyTopic()
    head = await Scribe(log, keys.keyring()).head(0)
    record = commit_after(Head(seq=7, hash="elsewhere", next_offset=1))
    assert record.value is not None
    await log.append(0, b"k", record.value)
    follower = Follower(log, keys.keyring(), 0, head, HANDLES)
    batch = await follower.next(wait_seconds=1)
    assert batch is not None
    assert (batch.commits, batch.head) == ((), replace(head, next_offset=2))
    assert await follower.next(wait_seconds=0.01) is None


async def test_facts_of_no_interest_are_not_opened() -> None:
    """Another process's keyring cannot open anything here, and need not."""
    log, keys = await new_log(), KeyTopic()
    account_id = account_id_in(0)
    await Scribe(log, keys.keyring()).write(stream_of(account_id), registered(account_id))
    follower = Follower(log, UnavailableKeys().keyring(), 0, Head(), HANDLES)
    batch = await follower.next(wait_seconds=1)
    assert batch is not None
    assert batch.commits[0].facts == ()


async def test_nothing_is_lost_while_keys_cannot_be_read() -> None:
    log, keys = await new_log(), KeyTopic()
    account_id = account_id_in(0)
    await Scribe(log, keys.keyring()).write(stream_of(account_id), registered(account_id))
    follower = Follower(log, UnavailableKeys().keyring(), 0, Head(), frozenset({AccountRegistered}))
    with pytest.raises(UnavailableError):
        await follower.next(wait_seconds=1)
    assert follower.head == Head()


async def test_a_log_without_genesis_is_not_followed_yet() -> None:
    with pytest.raises(UnavailableError, match="provision"):
        await read_log_id(MemoryLog(1), 0)


async def test_a_runner_applies_everything_once_and_marks_it_fresh() -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    sink, health = MemorySink(), Health()
    account_id = account_id_in(1)
    events = [revoked(session_of(account_id, number)) for number in range(3)]
    await scribe.write(stream_of(account_id), events[0])
    async with running(new_runner(log, keys, sink, health).run()):
        await scribe.write(stream_of(account_id), events[1])
        await eventually(lambda: is_true(set(sink.fresh) == {0, 1}))
        sink.stored[1] = Head()
        sink.applied.clear()
        await scribe.write(stream_of(account_id), events[2])
        await eventually(lambda: is_true(sink.applied == events))
        await eventually(lambda: is_true(health.failing() == {}))


async def test_a_partition_with_poison_halts_visibly_and_the_others_go_on() -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    sink, health, registry = MemorySink(), Health(), CollectorRegistry()
    good, bad = account_id_in(0), account_id_in(1)
    await scribe.write(stream_of(bad), revoked(session_of(bad)))
    await log.append(1, b"k", b"{}")
    await scribe.write(stream_of(good), revoked(session_of(good)))
    async with running(new_runner(log, keys, sink, health, registry).run()):
        await eventually(lambda: is_true(len(sink.applied) == 2))
        await eventually(lambda: is_true(list(health.failing()) == ["memory-1"]))
        assert "partition 1, offset 2" in health.failing()["memory-1"]
        halted = registry.get_sample_value("chancery_projector_halted_partitions", {"consumer": "memory"})
        assert halted == 1
        await eventually(lambda: is_true(0 in sink.fresh))
        assert 1 not in sink.fresh


async def test_a_log_that_is_down_is_named_and_tried_again() -> None:
    log, keys = await new_log(), KeyTopic()
    sink, health = MemorySink(), Health()
    log.is_down = True
    async with running(new_runner(log, keys, sink, health).run()):
        await eventually(lambda: is_true("the log is down" in health.failing().values()))
        log.is_down = False
        await eventually(lambda: is_true(health.failing() == {}))


async def test_errors_are_retried_outruns_repeated_and_bugs_halt_without_their_text() -> None:
    health = Health()
    course = Course("test", 0, health, Metrics(CollectorRegistry()))
    attempts = iter([UnavailableError("later"), OutrunError(), KeyError("ada@example.com")])

    async def attempt() -> None:
        await asyncio.sleep(0)
        raise next(attempts)

    await keep_going(course, attempt)
    reason = health.failing()["test-0"]
    assert reason.startswith("halted at a bug: KeyError in test_projectors.py:")
    assert "ada" not in reason


async def test_a_driver_that_forgets_a_cancellation_does_not_keep_a_consumer_alive() -> None:
    course = Course("test", 0, Health(), Metrics(CollectorRegistry()))
    begun = asyncio.Event()

    async def attempt() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)

    task = asyncio.create_task(keep_going(course, attempt))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


class UnavailableKeys(KeyTopic):
    """A key topic that nobody can read."""

    def keyring(self) -> Keyring:
        return Keyring(UnreadableStore(self), KEY_ENCRYPTION_KEY)


class UnreadableStore(MemoryKeyStore):
    async def read_new(self) -> AsyncIterator[KeyRecord]:
        raise UnavailableError("keys: down")
        yield


def new_runner(
    log: MemoryLog,
    keys: KeyTopic,
    sink: MemorySink,
    health: Health,
    registry: CollectorRegistry | None = None,
) -> Runner:
    return Runner(log, keys.keyring(), sink, health, Metrics(registry or CollectorRegistry()))


async def is_true(value: object) -> bool:
    return bool(value)
