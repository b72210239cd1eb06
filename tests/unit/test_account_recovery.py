"""How an account comes to a new password or address, and how it is shut: scenarios."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.account import AGGREGATE
from domain.account_commands import (
    AbandonEmailChange,
    ChangeEmail,
    CloseAccount,
    DisableAccount,
    EnableAccount,
    EndHold,
    RequestEmailChange,
    RequestPasswordReset,
    ResetPassword,
    SignOutAccount,
    UndoEmailChange,
    UnlockAccount,
)
from domain.account_state import Active, Closed, Disabled
from domain.addresses import MAX_HOLDS, Held, given_back
from domain.refusals import AccountIsClosed, InvalidCode, SessionEnded, UnknownAccount
from events.account import (
    AccountClosed,
    AccountDisabled,
    AccountEnabled,
    AccountLocked,
    AccountUnlocked,
    PasswordChanged,
    PasswordRejected,
    PasswordReset,
    PasswordResetIgnored,
    PasswordResetRequested,
    RegistrationDiscarded,
    ResetCodeRejected,
    SessionRevoked,
    SignInFailed,
    SignUpRepeated,
)
from events.email_change import (
    EmailChangeAbandoned,
    EmailChangeCodeRejected,
    EmailChanged,
    EmailChangeIgnored,
    EmailChangeRequested,
    EmailChangeUndone,
    EmailHoldEnded,
)
from events.fact import Event
from tests.support.examples import LOCK_OUT, MINUTE, NOON, REGISTERED, VERIFIED, sign_in, started
from tests.support.scenario import Given, given

ADA, NEW, THIRD = "identifier-ada", "identifier-new", "identifier-third"
EXPIRY = NOON + 15 * MINUTE
WEEK = timedelta(days=7)
REQUEST_RESET = RequestPasswordReset(
    identifier=ADA, challenge_id="r1", code_expires_at=EXPIRY, mail_limit=2, at=NOON
)
RESET_REQUESTED = PasswordResetRequested(
    challenge_id="r1", code_expires_at=EXPIRY, requested_at=NOON, email="Ada@example.com"
)
RESET = ResetPassword(
    identifier=ADA, matching_challenge_id="r1", password_hash="hash-2", is_short=False, limit=3, at=NOON
)
RESET_DONE = PasswordReset(challenge_id="r1", password_hash="hash-2")
REQUEST_CHANGE = RequestEmailChange(
    acting_session_id="s1",
    is_password_right=True,
    change_id="e1",
    identifier=NEW,
    email="new@example.com",
    is_taken=False,
    code_expires_at=EXPIRY,
    mail_limit=2,
    lock_out=LOCK_OUT,
    at=NOON,
)
CHANGE = ChangeEmail(
    acting_session_id="s1", matching_change_id="e1", limit=3, undo_until=NOON + WEEK, at=NOON
)
UNDO = UndoEmailChange(change_id="e1", at=NOON)
CLOSE = CloseAccount(
    acting_session_id="s1", is_password_right=True, erase_after=NOON + WEEK, lock_out=LOCK_OUT, at=NOON
)
CLOSED = AccountClosed(closed_at=NOON, erase_after=NOON + WEEK)
DISABLED, ENABLED = AccountDisabled(disabled_at=NOON), AccountEnabled(enabled_at=NOON)
REJECTED = PasswordRejected(session_id="s1", failed_at=NOON)


def change_requested(change_id: str = "e1", identifier: str = NEW) -> EmailChangeRequested:
    return EmailChangeRequested(
        change_id=change_id,
        identifier=identifier,
        code_expires_at=EXPIRY,
        requested_at=NOON,
        email="new@example.com",
    )


def changed(change_id: str = "e1", identifier: str = NEW, previous: str = "Ada@example.com") -> EmailChanged:
    return EmailChanged(
        change_id=change_id,
        identifier=identifier,
        undo_until=NOON + WEEK,
        email="new@example.com",
        previous_email=previous,
    )


def active(*events: Event) -> Given:
    return given(AGGREGATE, REGISTERED, VERIFIED, started("s1"), started("s2"), *events)


def ended(cause: str, *session_ids: str) -> tuple[SessionRevoked, ...]:
    return tuple(SessionRevoked(session_id=one, cause=cause) for one in session_ids or ("s1", "s2"))  # type: ignore[arg-type]  # causes are spelled out here


def test_a_reset_mails_a_code_to_the_address_as_it_is_stored() -> None:
    active().when(REQUEST_RESET).then(RESET_REQUESTED)


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        ((RESET_REQUESTED, replace(RESET_REQUESTED, challenge_id="r0")), "too-many-mails"),
        ((changed(),), "not-the-address"),
        ((DISABLED,), "not-active"),
        ((CLOSED,), "not-active"),
    ],
)
def test_a_reset_that_cannot_be_is_a_fact_without_a_mail(events: tuple[Event, ...], cause: str) -> None:
    ignored = PasswordResetIgnored(cause=cause)  # type: ignore[arg-type]  # the literals above
    active(*events).when(REQUEST_RESET).then(ignored)


def test_an_hour_later_a_reset_mails_again_and_the_limit_spares_the_code_that_was_mailed() -> None:
    twice = active(RESET_REQUESTED, RESET_REQUESTED, PasswordResetIgnored(cause="too-many-mails"))
    twice.when(RESET).then(RESET_DONE, *ended("password-reset"))
    later = NOON + 60 * MINUTE
    twice.when(replace(REQUEST_RESET, at=later)).then(replace(RESET_REQUESTED, requested_at=later))


def test_a_reset_ends_every_session_and_the_lock_out() -> None:
    locked = active(AccountLocked(locked_until=EXPIRY), RESET_REQUESTED)
    locked.when(RESET).then(RESET_DONE, *ended("password-reset"))
    state = active(AccountLocked(locked_until=EXPIRY), RESET_REQUESTED, RESET_DONE).state
    assert isinstance(state, Active)
    assert (state.locked_until, state.password.revision, state.reset) == (None, 2, None)


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ((), RESET),
        ((RESET_REQUESTED,), replace(RESET, matching_challenge_id=None)),
        ((RESET_REQUESTED,), replace(RESET, at=EXPIRY)),
        ((RESET_REQUESTED, RESET_DONE), RESET),
        ((RESET_REQUESTED, *[ResetCodeRejected()] * 3), RESET),
        ((RESET_REQUESTED, replace(RESET_REQUESTED, challenge_id="r2")), RESET),
        ((RESET_REQUESTED, PasswordChanged(password_hash="h")), RESET),
        ((RESET_REQUESTED, change_requested(), changed()), replace(RESET, identifier=NEW)),
        ((RESET_REQUESTED, change_requested(), changed()), RESET),
        ((RESET_REQUESTED, DISABLED), RESET),
        ((RESET_REQUESTED, DISABLED, ENABLED), RESET),
        ((RESET_REQUESTED, CLOSED), RESET),
    ],
)
def test_abuse_h5_wrong_used_old_and_dead_codes_are_one_fact(
    events: tuple[Event, ...], command: ResetPassword
) -> None:
    active(*events).when(command).then(ResetCodeRejected())


def test_a_rejected_code_where_none_waits_changes_nothing() -> None:
    assert active(ResetCodeRejected()).state == active().state
    assert active(EmailChangeCodeRejected()).state == active().state


def test_a_change_mails_a_code_to_the_new_address() -> None:
    active().when(REQUEST_CHANGE).then(change_requested())


@pytest.mark.parametrize(
    ("events", "command", "cause"),
    [
        ((), replace(REQUEST_CHANGE, is_taken=True), "taken"),
        ((), replace(REQUEST_CHANGE, identifier=ADA), "same-address"),
        ((change_requested("e8"), change_requested("e9")), REQUEST_CHANGE, "too-many-mails"),
        (
            tuple(changed(f"e{n}") for n in range(MAX_HOLDS)),
            replace(REQUEST_CHANGE, identifier=ADA),
            "too-many-addresses",
        ),
    ],
)
def test_a_change_that_cannot_be_mails_nothing_and_kills_the_one_before(
    events: tuple[Event, ...], command: RequestEmailChange, cause: str
) -> None:
    ignored = EmailChangeIgnored(cause=cause)  # type: ignore[arg-type]  # the literals above
    active(*events).when(command).then(ignored)
    active(change_requested(), ignored).when(CHANGE).then(EmailChangeCodeRejected())


@pytest.mark.parametrize("command", [REQUEST_CHANGE, CLOSE])
def test_a_wrong_password_counts_towards_the_lock_out(command: RequestEmailChange | CloseAccount) -> None:
    wrong = replace(command, is_password_right=False)
    active().when(wrong).then(REJECTED)
    locked = AccountLocked(locked_until=NOON + LOCK_OUT.duration)
    active(REJECTED, REJECTED).when(wrong).then(REJECTED, locked)
    active(locked).when(command).then(REJECTED)


@pytest.mark.parametrize("command", [REQUEST_CHANGE, CHANGE, CLOSE])
def test_an_ended_session_changes_and_closes_nothing(command: object) -> None:
    active(*ended("sign-out", "s1")).when(command).then_refused(SessionEnded)


def test_a_change_ends_all_other_sessions_and_holds_the_old_address() -> None:
    active(change_requested()).when(CHANGE).then(changed(), *ended("email-changed", "s2"))
    state = active(change_requested(), changed()).state
    assert state.email == "new@example.com"
    assert state.addresses.current == Held(identifier=NEW, claim_id="e1", email="new@example.com")
    assert [hold.held.claim_id for hold in state.addresses.holds] == ["acc"]


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ((), CHANGE),
        ((change_requested(),), replace(CHANGE, matching_change_id=None)),
        ((change_requested(),), replace(CHANGE, at=EXPIRY)),
        ((change_requested(), *[EmailChangeCodeRejected()] * 3), CHANGE),
        ((change_requested(), change_requested("e2")), CHANGE),
        ((change_requested(), changed()), CHANGE),
        ((change_requested(), PasswordChanged(password_hash="h")), CHANGE),
        ((change_requested(), EmailChangeAbandoned(change_id="e1", cause="interrupted")), CHANGE),
    ],
)
def test_abuse_h4_wrong_used_old_and_dead_codes_change_nothing(
    events: tuple[Event, ...], command: ChangeEmail
) -> None:
    active(*events).when(command).then(EmailChangeCodeRejected())


def test_only_a_change_that_waits_is_abandoned() -> None:
    abandon = AbandonEmailChange(change_id="e1", cause="taken")
    active(change_requested()).when(abandon).then(EmailChangeAbandoned(change_id="e1", cause="taken"))
    active(change_requested("e2")).when(abandon).then_nothing()
    active(change_requested(), CLOSED).when(abandon).then_nothing()


def test_sign_in_is_by_the_new_address_only() -> None:
    after = active(changed())
    wrong = SignInFailed(cause="not-the-address", failed_at=NOON, ip="127.0.0.1", user_agent="test")
    after.when(sign_in("s3")).then(wrong)
    after.when(replace(sign_in("s3"), identifier=NEW)).then(started("s3"))


def test_undo_restores_the_address_ends_everything_and_gives_back_what_came_after() -> None:
    thief = active(
        changed(), changed("e2", THIRD, "new@example.com"), change_requested("e3"), RESET_REQUESTED
    )
    undone = EmailChangeUndone(change_id="e1", email="Ada@example.com")
    thief.when(UNDO).then(undone, *ended("email-change-undone"))
    after = AGGREGATE.evolve(thief.state, undone)
    assert isinstance(after, Active)
    assert (after.email, after.addresses.holds, after.addresses.change, after.reset) == (
        "Ada@example.com", (), None, None,
    )  # fmt: skip
    given_up = given_back(thief.state.addresses, after.addresses)
    assert {held.claim_id for held in given_up} == {"e1", "e2"}


def test_whoever_had_the_address_first_can_undo_what_a_later_holder_undid() -> None:
    """Changed away, changed back, and undone by the address in between: the first one is still held."""
    back = active(changed(), changed("e2", ADA, "new@example.com"))
    again = AGGREGATE.evolve(back.state, EmailChangeUndone(change_id="e2", email="new@example.com"))
    assert isinstance(again, Active)
    assert [hold.change_id for hold in again.addresses.holds] == ["e1"]
    assert AGGREGATE.decide(again, UNDO)[0] == EmailChangeUndone(change_id="e1", email="Ada@example.com")


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ((), UNDO),
        ((changed(),), replace(UNDO, at=NOON + WEEK)),
        ((changed(), EmailChangeUndone(change_id="e1", email="a")), UNDO),
        ((changed(), EmailHoldEnded(change_id="e1")), UNDO),
        ((changed(), CLOSED), UNDO),
    ],
)
def test_what_cannot_be_undone_is_refused(events: tuple[Event, ...], command: UndoEmailChange) -> None:
    active(*events).when(command).then_refused(InvalidCode)


def test_a_disabled_account_can_be_brought_back_to_its_address_and_stays_disabled() -> None:
    shut = active(changed(), DISABLED)
    undone = EmailChangeUndone(change_id="e1", email="Ada@example.com")
    shut.when(UNDO).then(undone)
    after = AGGREGATE.evolve(shut.state, undone)
    assert isinstance(after, Disabled)
    assert after.email == "Ada@example.com"


def test_a_hold_ends_when_its_time_is_over_and_once() -> None:
    end = EndHold(change_id="e1", at=NOON + WEEK)
    for state in (active(changed()), active(changed(), CLOSED), active(changed(), DISABLED)):
        state.when(end).then(EmailHoldEnded(change_id="e1"))
        state.when(replace(end, at=NOON)).then_nothing()
    active(changed(), EmailHoldEnded(change_id="e1")).when(end).then_nothing()
    active(changed(), CLOSED, EmailHoldEnded(change_id="e1")).when(end).then_nothing()
    given(AGGREGATE, REGISTERED).when(end).then_nothing()


def test_an_undo_of_what_is_not_held_changes_nothing() -> None:
    state = active().state
    assert AGGREGATE.evolve(state, EmailChangeUndone(change_id="e9", email="a")) == state
    assert active(SignUpRepeated(notice_id="n", email=None)).state == state


def test_closing_ends_every_session_and_nobody_signs_in_any_more() -> None:
    active().when(CLOSE).then(*ended("account-closed"), CLOSED)
    shut = active(*ended("account-closed"), CLOSED)
    assert isinstance(shut.state, Closed)
    assert (shut.state.email, shut.state.erase_after) == ("Ada@example.com", NOON + WEEK)
    shut.when(sign_in("s3")).then(
        SignInFailed(cause="account-closed", failed_at=NOON, ip="127.0.0.1", user_agent="test")
    )
    shut.when(EnableAccount(at=NOON)).then_refused(AccountIsClosed)
    for command in (DisableAccount(at=NOON), UnlockAccount(at=NOON), SignOutAccount()):
        shut.when(command).then_nothing()


def test_a_pending_registration_forgets_nothing_and_a_discarded_one_is_gone() -> None:
    pending = given(AGGREGATE, REGISTERED)
    assert AGGREGATE.evolve(pending.state, RegistrationDiscarded(cause="superseded")) == AGGREGATE.initial
    assert AGGREGATE.evolve(pending.state, DISABLED) == pending.state
    assert AGGREGATE.evolve(AGGREGATE.initial, DISABLED) == AGGREGATE.initial


def test_disabling_ends_every_session_and_enabling_revives_none() -> None:
    active().when(DisableAccount(at=NOON)).then(*ended("account-disabled"), DISABLED)
    shut = active(*ended("account-disabled"), DISABLED)
    shut.when(DisableAccount(at=NOON)).then_nothing()
    shut.when(sign_in("s3")).then(
        SignInFailed(cause="account-disabled", failed_at=NOON, ip="127.0.0.1", user_agent="test")
    )
    shut.when(SignOutAccount()).then_nothing()
    shut.when(EnableAccount(at=NOON)).then(ENABLED)
    assert isinstance(shut.state, Disabled)
    assert (shut.state.email, shut.state.registered_at) == ("Ada@example.com", NOON)
    assert active(*ended("account-disabled"), DISABLED, ENABLED).state.sessions == {}
    active().when(EnableAccount(at=NOON)).then_nothing()


def test_unlocking_ends_a_lock_out_and_forgets_failures() -> None:
    unlocked = AccountUnlocked(unlocked_at=NOON)
    for events in ((AccountLocked(locked_until=EXPIRY),), (REJECTED,), (REJECTED, DISABLED)):
        active(*events).when(UnlockAccount(at=NOON)).then(unlocked)
    active().when(UnlockAccount(at=NOON)).then_nothing()
    active(AccountLocked(locked_until=EXPIRY), unlocked).when(sign_in("s3")).then(started("s3"))


def test_an_administrator_ends_every_session() -> None:
    active().when(SignOutAccount()).then(*ended("signed-out-by-admin"))


@pytest.mark.parametrize(
    "command", [DisableAccount(at=NOON), EnableAccount(at=NOON), UnlockAccount(at=NOON), SignOutAccount()]
)
def test_a_registration_that_was_never_proven_is_no_account(command: object) -> None:
    given(AGGREGATE).when(command).then_refused(UnknownAccount)
    given(AGGREGATE, REGISTERED).when(command).then_refused(UnknownAccount)
