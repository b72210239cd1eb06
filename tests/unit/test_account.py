"""The account's decisions, as scenarios."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.account import AGGREGATE
from domain.account_commands import (
    Attend,
    ChangePassword,
    ChangeProfile,
    DiscardRegistration,
    Refresh,
    RepeatSignUp,
    RequestVerification,
    RevokeSession,
    RevokeSessions,
    VerifyEmail,
)
from domain.account_sign_in import MAX_SESSIONS
from domain.account_state import Active, Pending
from domain.refusals import InvalidCode, InvalidGrant, SessionEnded
from events.account import (
    AccountLocked,
    PasswordChanged,
    PasswordRejected,
    ProfileChanged,
    RefreshReused,
    RegistrationDiscarded,
    SessionRevoked,
    SignInFailed,
    SignUpRepeated,
    VerificationRequested,
)
from tests.support.examples import (
    ABSOLUTE,
    IDLE,
    LOCK_OUT,
    MINUTE,
    NOON,
    REGISTER,
    REGISTERED,
    VERIFIED,
    refreshed,
    sign_in,
    started,
)
from tests.support.scenario import Given, given

GRACE = timedelta(seconds=30)


def account(*events: object) -> Given:
    return given(AGGREGATE, *events)  # type: ignore[arg-type]  # the catalogue is wider than any one aggregate


def refresh(generation: int, at: object = NOON) -> Refresh:
    return Refresh(session_id="s1", generation=generation, grace=GRACE, idle=IDLE, at=at)  # type: ignore[arg-type]


def failed(cause: str) -> SignInFailed:
    return SignInFailed(cause=cause, failed_at=NOON, ip="127.0.0.1", user_agent="test")  # type: ignore[arg-type]


def change_password(*, is_password_right: bool = True, session_id: str = "s1") -> ChangePassword:
    return ChangePassword(
        acting_session_id=session_id,
        is_password_right=is_password_right,
        password_hash="hash-2",
        is_short=False,
        lock_out=LOCK_OUT,
        at=NOON,
    )


def test_registering_states_everything_that_was_asked() -> None:
    account().when(REGISTER).then(REGISTERED)


def test_a_new_code_goes_to_the_address_as_it_was_registered() -> None:
    expires_at = NOON + 20 * MINUTE
    asked = VerificationRequested(
        challenge_id="c2", code_expires_at=expires_at, registered_at=NOON, email="Ada@example.com"
    )
    account(REGISTERED).when(RequestVerification(challenge_id="c2", code_expires_at=expires_at)).then(asked)


def test_a_new_code_for_nobody_is_no_news() -> None:
    account().when(RequestVerification(challenge_id="c2", code_expires_at=NOON)).then_nothing()


def test_verifying_makes_the_account_usable() -> None:
    account(REGISTERED).when(VerifyEmail(challenge_id="challenge-1")).then(VERIFIED)
    assert isinstance(account(REGISTERED, VERIFIED).state, Active)


def test_verifying_a_registration_that_does_not_exist_is_refused() -> None:
    account().when(VerifyEmail(challenge_id="challenge-1")).then_refused(InvalidCode)


def test_a_discarded_registration_is_gone() -> None:
    discarded = RegistrationDiscarded(cause="superseded")
    account(REGISTERED).when(DiscardRegistration(cause="superseded")).then(discarded)
    account(REGISTERED, discarded).when(sign_in()).then(failed("not-verified"))


def test_a_verified_account_cannot_be_discarded() -> None:
    account(REGISTERED, VERIFIED).when(DiscardRegistration(cause="superseded")).then_nothing()


def test_signing_up_again_tells_the_owner() -> None:
    told = SignUpRepeated(notice_id="n1", email="Ada@example.com")
    repeat = RepeatSignUp(notice_id="n1", identifier="identifier-ada")
    account(REGISTERED, VERIFIED).when(repeat).then(told)
    nobody = SignUpRepeated(notice_id="n1", email=None)
    account().when(repeat).then(nobody)
    account(REGISTERED, VERIFIED).when(replace(repeat, identifier="identifier-eve")).then(nobody)


def test_the_right_password_starts_a_session() -> None:
    account(REGISTERED, VERIFIED).when(sign_in()).then(started())


def test_the_open_policy_lets_an_unproven_address_in() -> None:
    account(replace(REGISTERED, policy="open")).when(sign_in()).then(started())


def test_an_unproven_address_cannot_sign_in() -> None:
    account(REGISTERED).when(sign_in()).then(failed("not-verified"))
    assert isinstance(account(REGISTERED).state, Pending)


def test_a_wrong_password_is_a_fact() -> None:
    account(REGISTERED, VERIFIED).when(sign_in(is_password_right=False)).then(failed("wrong-password"))


def test_the_failure_one_too_many_locks_the_password() -> None:
    wrong = failed("wrong-password")
    locked = AccountLocked(locked_until=NOON + LOCK_OUT.duration)
    account(REGISTERED, VERIFIED, wrong, wrong).when(sign_in(is_password_right=False)).then(wrong, locked)


def test_a_locked_account_refuses_the_right_password_until_the_lock_ends() -> None:
    until = NOON + LOCK_OUT.duration
    locked = account(REGISTERED, VERIFIED, AccountLocked(locked_until=until))
    locked.when(sign_in()).then(failed("locked"))
    locked.when(sign_in(at=until)).then(started(at=until))


def test_a_success_forgets_the_failures_before_it() -> None:
    wrong = failed("wrong-password")
    after = account(REGISTERED, VERIFIED, wrong, wrong, started())
    after.when(sign_in("s2", is_password_right=False)).then(wrong)


def test_one_session_too_many_ends_the_oldest() -> None:
    sessions = [started(f"s{n}", NOON + n * MINUTE) for n in range(MAX_SESSIONS)]
    later = NOON + 1000 * MINUTE
    ended = SessionRevoked(session_id="s0", cause="too-many-sessions")
    account(REGISTERED, VERIFIED, *sessions).when(sign_in("new", later)).then(ended, started("new", later))


def test_expired_sessions_leave_the_state() -> None:
    later = NOON + ABSOLUTE
    state = account(REGISTERED, VERIFIED, started("old"), started("new", later)).state
    assert set(state.sessions) == {"new"}


def test_the_current_refresh_token_rotates() -> None:
    account(REGISTERED, VERIFIED, started()).when(refresh(1)).then(refreshed(2, NOON))


def test_the_token_before_gets_the_same_successor_within_the_grace() -> None:
    rotated = account(REGISTERED, VERIFIED, started(), refreshed(2, NOON))
    rotated.when(refresh(1, NOON + GRACE)).then_nothing()


def test_the_token_before_is_theft_after_the_grace() -> None:
    rotated = account(REGISTERED, VERIFIED, started(), refreshed(2, NOON))
    late = NOON + GRACE + timedelta(microseconds=1)
    rotated.when(refresh(1, late)).then(
        RefreshReused(session_id="s1", generation=1), SessionRevoked(session_id="s1", cause="refresh-reused")
    )


def test_an_older_token_is_theft_even_within_the_grace() -> None:
    rotated = account(REGISTERED, VERIFIED, started(), refreshed(2, NOON), refreshed(3, NOON))
    rotated.when(refresh(1)).then(
        RefreshReused(session_id="s1", generation=1), SessionRevoked(session_id="s1", cause="refresh-reused")
    )


@pytest.mark.parametrize("generation", [1, 2])
def test_a_revoked_session_is_never_revived_by_the_grace(generation: int) -> None:
    revoked = SessionRevoked(session_id="s1", cause="sign-out")
    ended = account(REGISTERED, VERIFIED, started(), refreshed(2, NOON), revoked)
    ended.when(refresh(generation)).then_refused(InvalidGrant)


def test_a_token_that_was_never_given_is_refused() -> None:
    account(REGISTERED, VERIFIED, started()).when(refresh(2)).then_refused(InvalidGrant)
    account().when(refresh(1)).then_refused(InvalidGrant)


def test_an_idle_session_cannot_be_refreshed() -> None:
    account(REGISTERED, VERIFIED, started()).when(refresh(1, NOON + IDLE)).then_refused(InvalidGrant)


def test_a_refresh_of_a_session_that_left_changes_nothing() -> None:
    before = account(REGISTERED, VERIFIED)
    assert AGGREGATE.evolve(before.state, refreshed(2, NOON)) == before.state


def test_ending_a_session_twice_is_the_same_as_once() -> None:
    end = RevokeSession(session_id="s1", cause="sign-out")
    ended = SessionRevoked(session_id="s1", cause="sign-out")
    account(REGISTERED, VERIFIED, started()).when(end).then(ended)
    account(REGISTERED, VERIFIED, started(), ended).when(end).then_nothing()
    account().when(end).then_nothing()


def test_ending_all_other_sessions_spares_the_present_one() -> None:
    two = account(REGISTERED, VERIFIED, started("s1"), started("s2"))
    two.when(RevokeSessions(acting_session_id="s1", spare="s1", at=NOON)).then(
        SessionRevoked(session_id="s2", cause="sign-out-others")
    )
    two.when(RevokeSessions(acting_session_id="s1", spare=None, at=NOON)).then(
        SessionRevoked(session_id="s1", cause="sign-out"), SessionRevoked(session_id="s2", cause="sign-out")
    )


def test_a_changed_password_ends_all_other_sessions() -> None:
    two = account(REGISTERED, VERIFIED, started("s1"), started("s2"))
    two.when(change_password()).then(
        PasswordChanged(password_hash="hash-2"), SessionRevoked(session_id="s2", cause="password-changed")
    )
    assert account(REGISTERED, VERIFIED, PasswordChanged(password_hash="hash-2")).state.password.revision == 2


def test_a_wrong_current_password_counts_towards_the_lock_out() -> None:
    rejected = PasswordRejected(session_id="s1", failed_at=NOON)
    one = account(REGISTERED, VERIFIED, started(), rejected)
    one.when(change_password(is_password_right=False)).then(rejected)
    two = account(REGISTERED, VERIFIED, started(), rejected, rejected)
    two.when(change_password(is_password_right=False)).then(
        rejected, AccountLocked(locked_until=NOON + LOCK_OUT.duration)
    )


def test_a_locked_account_does_not_change_its_password_even_with_the_right_one() -> None:
    locked = account(REGISTERED, VERIFIED, started(), AccountLocked(locked_until=NOON + MINUTE))
    locked.when(change_password()).then(PasswordRejected(session_id="s1", failed_at=NOON))


def test_failures_while_locked_do_not_count_towards_the_next_lock() -> None:
    until = NOON + MINUTE
    rejected = PasswordRejected(session_id="s1", failed_at=NOON)
    locked = account(REGISTERED, VERIFIED, started(), AccountLocked(locked_until=until), *[rejected] * 5)
    wrong = replace(change_password(is_password_right=False), at=until)
    locked.when(wrong).then(PasswordRejected(session_id="s1", failed_at=until))


def test_changing_the_name_to_what_it_is_is_no_news() -> None:
    live = account(REGISTERED, VERIFIED, started())
    live.when(ChangeProfile(acting_session_id="s1", display_name="Ada", at=NOON)).then_nothing()
    live.when(ChangeProfile(acting_session_id="s1", display_name="A. L.", at=NOON)).then(
        ProfileChanged(display_name="A. L.")
    )
    renamed = account(REGISTERED, VERIFIED, ProfileChanged(display_name="A. L."))
    assert renamed.state.display_name == "A. L."


@pytest.mark.parametrize(
    "command",
    [
        change_password(session_id="gone"),
        ChangeProfile(acting_session_id="gone", display_name="x", at=NOON),
        RevokeSessions(acting_session_id="gone", spare=None, at=NOON),
        Attend(acting_session_id="gone", at=NOON),
    ],
)
def test_an_ended_session_can_do_nothing(command: object) -> None:
    account(REGISTERED, VERIFIED, started()).when(command).then_refused(SessionEnded)
    account().when(command).then_refused(SessionEnded)


def test_a_live_session_may_attend_until_it_expires() -> None:
    live = account(REGISTERED, VERIFIED, started())
    live.when(Attend(acting_session_id="s1", at=NOON)).then_nothing()
    live.when(Attend(acting_session_id="s1", at=NOON + IDLE)).then_refused(SessionEnded)


def test_facts_that_do_not_fit_change_nothing() -> None:
    for state in (account().state, account(REGISTERED).state, account(REGISTERED, VERIFIED).state):
        assert AGGREGATE.evolve(state, SignUpRepeated(notice_id="n", email=None)) == state
