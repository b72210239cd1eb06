"""Projectors without their stores: what becomes of rows, how the log is followed, when a partition halts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from events.account import (
    AccountClosed,
    AccountDisabled,
    AccountEnabled,
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    EmailVerified,
    PasswordChanged,
    PasswordReset,
    ProfileChanged,
    RegistrationDiscarded,
    SessionRevoked,
    SessionStrengthened,
)
from events.email_change import EmailChanged
from events.fact import Event
from events.factors import PasskeyAccepted, PasskeyRemoved, RecoveryCodeAccepted, TotpAccepted, TotpRemoved
from eventstore.chain import Head
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyBatch, KeyIndex, MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.memory_log import MemoryLog
from projectors.accounts import evolve as evolve_account
from projectors.factors import evolve as evolve_factors
from projectors.follower import Follower, read_log_id
from projectors.keep_going import Course, OutrunError, keep_going
from projectors.metrics import Metrics
from projectors.projector import fold_rows, storable
from projectors.sessions import evolve as evolve_session
from readmodels.accounts import Account
from readmodels.checkpoints import Notice, parse_notice
from readmodels.factors import Factors, Passkey
from readmodels.sessions import Session
from runtime.health import Health
from runtime.statements import load_statements
from tests.support.chains import commit_after
from tests.support.examples import MINUTE, NOON, REGISTERED, recorded, refreshed, started
from tests.support.factors import CODES, PASSKEY, TOTP
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic, MemoryKeyStore
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.writers import new_log

REVOKED = SessionRevoked(session_id="s1", cause="sign-out")
HANDLES: frozenset[type[Event]] = frozenset({SessionRevoked})


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
    proven = structs.replace(PENDING, status="active", email_verified=True)
    assert account(REGISTERED, EmailVerified(challenge_id="c")) == proven


def test_the_open_policy_lets_in_at_once_unproven() -> None:
    let_in = structs.replace(PENDING, status="active")
    assert account(replace(REGISTERED, policy="open")) == let_in


def test_a_discarded_registration_leaves_no_row_and_an_active_one_stays() -> None:
    discarded = RegistrationDiscarded(cause="superseded")
    assert account(REGISTERED, discarded) is None
    assert account(replace(REGISTERED, policy="open"), discarded) is not None


def test_the_name_of_a_pending_registration_is_not_changed() -> None:
    assert account(REGISTERED, ProfileChanged(display_name="Eve")) == PENDING


ACTIVE = (replace(REGISTERED, policy="open"),)
LATER = NOON + 15 * MINUTE


def test_a_sign_in_a_reset_and_an_administrator_end_a_lock_out() -> None:
    locked = (*ACTIVE, AccountLocked(locked_until=LATER))
    row = account(*locked)
    assert row is not None
    assert row.locked_until == LATER
    for event in (started(), PasswordReset(challenge_id="c"), AccountUnlocked(unlocked_at=NOON)):
        freed = account(*locked, event)
        assert freed is not None
        assert freed.locked_until is None


def test_an_account_tells_its_last_sign_in_and_password_change() -> None:
    row = account(*ACTIVE, started("s1", NOON), started("s2", LATER), PasswordChanged())
    assert row is not None
    assert (row.last_sign_in_at, row.password_changed_at) == (LATER, NOON)


def test_a_shut_account_tells_since_when_and_an_enabled_one_no_more() -> None:
    disabled = account(*ACTIVE, AccountDisabled(disabled_at=LATER))
    assert disabled == structs.replace(let_in(), status="disabled", disabled_at=LATER)
    assert account(*ACTIVE, AccountDisabled(disabled_at=LATER), AccountEnabled(enabled_at=LATER)) == let_in()
    closed = account(*ACTIVE, AccountClosed(closed_at=NOON, erase_after=LATER))
    assert closed == structs.replace(let_in(), status="closed", closed_at=NOON, erase_after=LATER)


def test_a_new_address_is_shown_as_its_owner_wrote_it() -> None:
    changed = EmailChanged(change_id="c", identifier="i", undo_until=LATER, email="EVE@Example.com")
    row = account(*ACTIVE, changed)
    assert row == structs.replace(let_in(), email="EVE@Example.com", email_verified=True)
    erased = account(*ACTIVE, replace(changed, email=None))
    assert erased == structs.replace(let_in(), email=None, email_verified=True)


def let_in() -> Account:
    return structs.replace(PENDING, status="active")


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


def test_a_session_that_proved_more_says_so_until_it_ends() -> None:
    proven = SessionStrengthened(session_id="s1", amr=("pwd", "otp", "mfa"), acr="aal2")
    row = session(started(), proven)
    assert row is not None
    assert (row.amr, row.acr) == (("pwd", "otp", "mfa"), "aal2")
    assert session(started(), REVOKED, proven) == session(started(), REVOKED)


def factors(*events: Event) -> Factors | None:
    row = None
    for number, event in enumerate(events):
        row = evolve_factors(row, structs.replace(recorded(event), at=NOON + number * MINUTE))
    return row


def test_factors_are_shown_with_the_time_of_their_last_use_and_codes_counted_down() -> None:
    used = (
        TotpAccepted(challenge_id="c1", step=101),
        RecoveryCodeAccepted(challenge_id="c2", number=3),
        PasskeyAccepted(
            passkey_id="p1", challenge_id="c3", challenge_expires_at=LATER, accepted_at=LATER, sign_count=8
        ),
    )
    assert factors(TOTP, CODES, PASSKEY, *used) == Factors(
        account_id="acc",
        totp_enrolled_at=NOON,
        totp_used_at=NOON + 3 * MINUTE,
        recovery_codes_issued_at=NOON,
        recovery_codes_left=9,
        passkeys=(Passkey(passkey_id="p1", is_synced=True, registered_at=NOON, used_at=LATER),),
    )


def test_nothing_is_shown_of_factors_that_are_gone() -> None:
    removed, closed = TotpRemoved(), AccountClosed(closed_at=NOON, erase_after=LATER)
    assert factors(TOTP, CODES, removed) is None
    assert factors(PASSKEY, CODES, PasskeyRemoved(passkey_id="p1")) is None
    assert factors(TOTP, CODES, PASSKEY, closed) is None
    beside = factors(TOTP, CODES, PASSKEY, removed)
    assert beside is not None
    assert (beside.names, beside.totp_enrolled_at) == (["recovery_code", "passkey"], None)


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
    assert parse_notice("3:17:a,b") == Notice(projectors=("a", "b"), partition=3, seq=17)
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
    await scribe.append(
        0, b"c-aa", record.value.replace(b"identifier.code_rejected", b"identifier.unheard_of")
    )
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
    assert (batch.commits, batch.head) == ((), structs.replace(head, next_offset=2))
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

    def keyring(
        self, *, encryption_key: bytes = KEY_ENCRYPTION_KEY, index: KeyIndex | None = None
    ) -> Keyring:
        assert (encryption_key, index) == (KEY_ENCRYPTION_KEY, None)
        return Keyring(UnreadableStore(self), LocalKeyEncryption(KEY_ENCRYPTION_KEY), MemoryKeyIndex())


class UnreadableStore(MemoryKeyStore):
    async def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        raise UnavailableError(f"keys: down at {positions}")
        yield


async def is_true(value: object) -> bool:
    return bool(value)
