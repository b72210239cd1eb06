"""How second factors come to an account and leave it."""

from dataclasses import replace
from typing import Any

import pytest

from domain.account import AGGREGATE
from domain.account_commands import ResetPassword, UndoEmailChange, VerifyEmail
from domain.account_state import Active
from domain.factor_commands import (
    ConfirmTotp,
)
from domain.factors import MAX_PASSKEYS
from domain.refusals import (
    FactorMissing,
    FactorNeeded,
    InvalidCode,
    InvalidPasskey,
    PasskeyKnown,
    PasswordTooShort,
    RecentSignInNeeded,
    SessionEnded,
    TooManyPasskeys,
    TotpEnrolledAlready,
    UnknownPasskey,
)
from events.account import (
    AccountDisabled,
    EmailVerified,
    PasswordChanged,
    PasswordRejected,
    PasswordResetRequested,
    SessionStrengthened,
)
from events.email_change import EmailChanged, EmailChangeUndone
from events.fact import Event
from events.factors import (
    PasskeyRemoved,
    RecoveryCodesIssued,
    TotpRemoved,
)
from events.risk import StepUpRequired
from tests.support.examples import (
    MINUTE,
    NOON,
    REGISTERED,
    sign_in,
    started,
)
from tests.support.factors import (
    BASE,
    CHALLENGED,
    CHANGE,
    CODES,
    CONFIRM,
    ENROLLED,
    EXPIRY,
    ISSUE,
    PASSKEY,
    PREPARE_PASSKEY,
    RECENT,
    REGISTER_PASSKEY,
    REMOVE,
    REMOVE_PASSKEY,
    RIGHT,
    START,
    STRONG,
    STRONG_BY_PASSKEY,
    TOTP,
    TOTP_STARTED,
    WITH_ALL,
    WITH_PASSKEY,
    account,
    after,
    answering,
    ended,
    failed,
)


def test_enrolling_an_app_takes_a_code_of_it_and_ends_the_other_sessions() -> None:
    account(*BASE, started("s0")).when(START).then(TOTP_STARTED)
    outcome = account(*BASE, started("s0"), TOTP_STARTED).when(CONFIRM)
    outcome.then(TOTP, CODES, STRONG, ended("s0"))
    assert after(outcome).sessions["s1"].acr == "aal2"


@pytest.mark.parametrize(
    "wrong",
    [
        replace(CONFIRM, matching_step=None),
        replace(CONFIRM, enrolment_id=None),
        replace(CONFIRM, enrolment_id="e0"),
        replace(CONFIRM, at=NOON + 15 * MINUTE),
    ],
)
def test_abuse_e5_a_wrong_or_late_first_code_enrols_nothing(wrong: ConfirmTotp) -> None:
    account(*BASE, TOTP_STARTED).when(wrong).then_refused(InvalidCode)


def test_a_second_app_is_refused_until_the_first_is_removed() -> None:
    account(*ENROLLED).when(START).then_refused(TotpEnrolledAlready)
    account(*ENROLLED, TotpRemoved()).when(START).then(TOTP_STARTED)


def test_a_code_that_was_not_asked_for_enrols_nothing() -> None:
    account(*BASE).when(CONFIRM).then_refused(InvalidCode)
    account(*ENROLLED).when(CONFIRM).then_refused(InvalidCode)


@pytest.mark.parametrize("command", [START, CONFIRM, PREPARE_PASSKEY, REGISTER_PASSKEY, REMOVE_PASSKEY])
def test_abuse_e8_factors_change_only_in_a_session_that_began_lately(command: Any) -> None:
    before = (*BASE, TOTP_STARTED, *((PASSKEY, STRONG_BY_PASSKEY) if command is REMOVE_PASSKEY else ()))
    account(*before).when(replace(command, at=NOON + RECENT + MINUTE)).then_refused(RecentSignInNeeded)
    account(*before).when(replace(command, acting_session_id="s9")).then_refused(SessionEnded)


@pytest.mark.parametrize("command", [START, PREPARE_PASSKEY, REGISTER_PASSKEY, REMOVE_PASSKEY, REMOVE, ISSUE])
def test_abuse_e8_a_session_without_the_second_factor_changes_none(command: Any) -> None:
    """No such session outlives the first factor; should one, it is of no use here."""
    weak = SessionStrengthened(session_id="s1", amr=("pwd",), acr="aal1")
    account(*WITH_ALL, weak).when(command).then_refused(RecentSignInNeeded)


@pytest.mark.parametrize("command", [REMOVE, ISSUE])
def test_abuse_e8_a_wrong_password_removes_nothing_and_counts(command: Any) -> None:
    rejected = PasswordRejected(session_id="s1", failed_at=NOON)
    account(*ENROLLED).when(replace(command, is_password_right=False)).then(rejected)


def test_removing_the_app_ends_other_sessions_and_recovery_codes_go_with_the_last_factor() -> None:
    removed = TotpRemoved(email="Ada@example.com")
    outcome = account(*ENROLLED, started("s0")).when(REMOVE)
    outcome.then(removed, ended("s0"))
    assert after(outcome).factors.recovery_codes is None
    beside_passkey = account(*WITH_ALL).when(REMOVE)
    beside_passkey.then(removed)
    assert after(beside_passkey).factors.recovery_codes is not None
    account(*WITH_PASSKEY).when(REMOVE).then_nothing()


def test_new_recovery_codes_replace_the_old_and_need_a_factor() -> None:
    outcome = account(*ENROLLED).when(ISSUE)
    outcome.then(RecoveryCodesIssued(set_id="r2", count=10, issued_at=NOON, email="Ada@example.com"))
    assert after(outcome).factors.recovery_codes.set_id == "r2"
    account(*BASE).when(ISSUE).then_refused(FactorMissing)
    account(*ENROLLED, CHALLENGED, replace(CODES, set_id="r2")).when(answering(RIGHT["recovery"])).then(
        failed("wrong-recovery-code")
    )


def test_registering_a_first_passkey_ends_other_sessions_and_a_further_one_does_not() -> None:
    account(*BASE, started("s0")).when(REGISTER_PASSKEY).then(PASSKEY, STRONG_BY_PASSKEY, ended("s0"))
    second = replace(REGISTER_PASSKEY, passkey_id="p2", challenge_id="k2", credential_id="credential-2")
    account(*WITH_PASSKEY, started("s0")).when(second).then(
        replace(PASSKEY, passkey_id="p2", challenge_id="k2", credential_id="credential-2")
    )


def test_abuse_f1_f3_a_registration_counts_once_and_in_time() -> None:
    again = replace(REGISTER_PASSKEY, passkey_id="p2", credential_id="credential-2")
    account(*WITH_PASSKEY).when(again).then_refused(InvalidPasskey)
    account(*WITH_PASSKEY, PasskeyRemoved(passkey_id="p1")).when(again).then_refused(InvalidPasskey)
    account(*BASE).when(replace(REGISTER_PASSKEY, at=EXPIRY)).then_refused(InvalidPasskey)
    known = replace(REGISTER_PASSKEY, passkey_id="p2", challenge_id="k2")
    account(*WITH_PASSKEY).when(known).then_refused(PasskeyKnown)


def test_an_account_has_only_so_many_passkeys() -> None:
    many = [
        replace(PASSKEY, passkey_id=f"p{n}", challenge_id=f"k{n}", credential_id=f"credential-{n}")
        for n in range(MAX_PASSKEYS)
    ]
    one_more = replace(REGISTER_PASSKEY, passkey_id="px", challenge_id="kx", credential_id="cx")
    full = account(*BASE, *many, STRONG_BY_PASSKEY)
    full.when(one_more).then_refused(TooManyPasskeys)
    full.when(PREPARE_PASSKEY).then_refused(TooManyPasskeys)
    account(*BASE, *many[1:], STRONG_BY_PASSKEY).when(PREPARE_PASSKEY).then_nothing()


def test_removing_a_passkey_ends_other_sessions_and_one_that_is_not_there_is_refused() -> None:
    removed = PasskeyRemoved(passkey_id="p1", email="Ada@example.com")
    outcome = account(*WITH_PASSKEY, started("s0")).when(REMOVE_PASSKEY)
    outcome.then(removed, ended("s0"))
    assert not after(outcome).factors.is_enrolled
    account(*WITH_PASSKEY).when(replace(REMOVE_PASSKEY, passkey_id="p9")).then_refused(UnknownPasskey)


def test_a_short_password_needs_a_factor_and_the_factor_then_stays() -> None:
    account(*BASE).when(CHANGE).then_refused(PasswordTooShort)
    short = PasswordChanged(is_short=True, password_hash="hash-2")
    account(*ENROLLED).when(CHANGE).then(short)
    account(*ENROLLED, short).when(REMOVE).then_refused(FactorNeeded)
    account(*WITH_PASSKEY, short).when(REMOVE_PASSKEY).then_refused(FactorNeeded)
    long = PasswordChanged(password_hash="hash-3")
    account(*ENROLLED, short, long).when(REMOVE).then(TotpRemoved(email="Ada@example.com"))
    account(*WITH_ALL, short).when(REMOVE).then(TotpRemoved(email="Ada@example.com"))


RESET = ResetPassword(
    identifier="identifier-ada",
    matching_challenge_id="r1",
    password_hash="hash-2",
    is_short=True,
    limit=3,
    at=NOON,
)


def test_abuse_h8_a_reset_takes_no_factor_away_and_a_short_password_only_beside_one() -> None:
    asked = PasswordResetRequested(
        challenge_id="r1", code_expires_at=EXPIRY, requested_at=NOON, email="Ada@example.com"
    )
    account(*BASE, asked).when(RESET).then_refused(PasswordTooShort)
    outcome = account(*ENROLLED, asked).when(RESET)
    state = after(outcome)
    assert isinstance(state, Active)
    assert state.factors.is_enrolled
    assert AGGREGATE.decide(state, sign_in("s2"))[-1] == CHALLENGED


CHANGED = EmailChanged(
    change_id="e1", identifier="identifier-new", undo_until=NOON + 15 * MINUTE, email="new@example.com"
)
LATE_TOTP = replace(TOTP, claim_id="e1")
LATE_PASSKEY = replace(
    PASSKEY, passkey_id="p2", claim_id="e1", challenge_id="k9", credential_id="credential-2"
)
UNDO = UndoEmailChange(change_id="e1", at=NOON)


@pytest.mark.parametrize("shut", [(), (AccountDisabled(disabled_at=NOON),)], ids=["active", "disabled"])
def test_abuse_h4_undoing_an_e_mail_change_removes_the_factors_that_came_after_it(
    shut: tuple[Event, ...],
) -> None:
    outcome = account(*BASE, PASSKEY, CHANGED, TOTP_STARTED, LATE_TOTP, LATE_PASSKEY, *shut).when(UNDO)
    undone, app, passkey, *_ = AGGREGATE.decide(outcome.state, UNDO)
    assert undone == EmailChangeUndone(change_id="e1", email="Ada@example.com")
    assert app == TotpRemoved(email="Ada@example.com")
    assert passkey == PasskeyRemoved(passkey_id="p2", email="Ada@example.com")
    state = after(outcome)
    factors = (state.account if shut else state).factors
    assert (factors.totp, [one.passkey_id for one in factors.passkeys]) == (None, ["p1"])


def test_undoing_an_e_mail_change_keeps_the_factors_from_before_it() -> None:
    late = account(*ENROLLED, CHANGED, LATE_PASSKEY).when(UNDO)
    assert [one for one in AGGREGATE.decide(late.state, UNDO) if isinstance(one, TotpRemoved)] == []
    assert after(late).factors.totp is not None


OPEN = replace(REGISTERED, policy="open")


def test_abuse_h4_factors_from_before_the_first_proof_of_an_address_go_with_it() -> None:
    before = (OPEN, started("s1"), TOTP_STARTED, TOTP, CODES, PASSKEY)
    gone = (TotpRemoved(email="Ada@example.com"), PasskeyRemoved(passkey_id="p1", email="Ada@example.com"))
    proof, verified = VerifyEmail(challenge_id="c"), EmailVerified(challenge_id="c")
    account(*before).when(proof).then(verified, *gone)
    account(OPEN, started("s1"), verified, TOTP_STARTED, TOTP).when(proof).then(verified)
    asked = PasswordResetRequested(
        challenge_id="r1", code_expires_at=EXPIRY, requested_at=NOON, email="Ada@example.com"
    )
    state = after(account(*before, asked).when(replace(RESET, is_short=False)))
    assert not state.factors.is_enrolled
    assert state.is_proven
    changed = replace(CHANGED, change_id="e2")
    assert account(OPEN, changed).state.is_proven
    assert not account(OPEN).state.is_proven


def test_another_session_confirms_no_app_that_this_one_began() -> None:
    account(*BASE, started("s0"), TOTP_STARTED).when(replace(CONFIRM, acting_session_id="s0")).then_refused(
        InvalidCode
    )


@pytest.mark.parametrize("command", [START, REMOVE, ISSUE, REMOVE_PASSKEY])
def test_a_suspect_session_changes_no_factor(command: Any) -> None:
    suspect = StepUpRequired(session_id="s1", reason="refresh-reuse-burst", required_at=NOON)
    account(*WITH_ALL, suspect).when(command).then_refused(RecentSignInNeeded)


def test_what_was_begun_ends_when_the_account_is_disabled() -> None:
    state = account(*BASE, TOTP_STARTED, AccountDisabled(disabled_at=NOON)).state
    assert state.account.factors.waiting_totp is None


def test_erased_factors_answer_nothing_and_break_nothing() -> None:
    erased = replace(PASSKEY, credential_id=None, public_key=None, email=None)
    state = account(*BASE, replace(TOTP_STARTED, secret=None), TOTP, erased).state
    assert (state.factors.totp.secret, state.factors.passkeys[0].credential_id) == (None, None)
