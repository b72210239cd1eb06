"""Sign-in where second factors are enrolled: what is asked for, and what each answer is worth."""

from dataclasses import replace

import pytest

from domain.account import AGGREGATE
from domain.account_commands import UnlockAccount
from domain.factor_commands import (
    PasskeyAnswer,
    TotpAnswer,
    VerifiedPasskey,
)
from domain.factors import MAX_CHALLENGES, MAX_SPENT
from events.account import (
    AccountDisabled,
    AccountLocked,
    AccountUnlocked,
    PasswordChanged,
    PasswordReset,
    SessionStarted,
    SignInFailed,
    SignInFailureCause,
)
from events.fact import Event
from events.factors import (
    FactorsLocked,
    PasskeyAccepted,
    RecoveryCodeAccepted,
    TotpAccepted,
    TotpRemoved,
)
from tests.support.examples import (
    LOCK_OUT,
    MINUTE,
    NOON,
    REGISTERED,
    sign_in,
)
from tests.support.factors import (
    BASE,
    CHALLENGED,
    ENROLLED,
    EXPIRY,
    PASSKEY,
    RIGHT,
    STRONG_BY_PASSKEY,
    WITH_ALL,
    WITH_PASSKEY,
    account,
    after,
    answering,
    failed,
    session,
    with_passkey,
)
from tests.support.scenario import Outcome


@pytest.mark.parametrize("enrolled", [ENROLLED, WITH_PASSKEY], ids=["totp", "passkey"])
def test_abuse_e4_a_password_alone_opens_nothing_where_a_factor_is_enrolled(
    enrolled: tuple[Event, ...],
) -> None:
    account(*enrolled).when(sign_in("s2")).then(CHALLENGED)
    account(*enrolled).when(sign_in("s2", is_password_right=False)).then(failed("wrong-password"))


def test_abuse_e7_a_challenge_is_no_session() -> None:
    assert list(after(account(*ENROLLED).when(sign_in("s2"))).sessions) == ["s1"]


@pytest.mark.parametrize(
    ("name", "fact", "amr"),
    [
        ("totp", TotpAccepted(challenge_id="challenge-of-s2", step=101), ("pwd", "otp", "mfa")),
        (
            "recovery",
            RecoveryCodeAccepted(challenge_id="challenge-of-s2", number=3, email="Ada@example.com"),
            ("pwd", "otp", "mfa"),
        ),
        (
            "passkey",
            PasskeyAccepted(
                passkey_id="p1",
                challenge_id="challenge-of-s2",
                challenge_expires_at=EXPIRY,
                accepted_at=NOON,
                sign_count=8,
            ),
            ("pwd", "swk", "user", "mfa"),
        ),
    ],
)
def test_abuse_e1_e3_each_answer_opens_once_and_says_two_kinds_of_proof(
    name: str, fact: Event, amr: tuple[str, ...]
) -> None:
    outcome = account(*WITH_ALL, CHALLENGED).when(answering(RIGHT[name]))
    outcome.then(fact, session(amr))
    state = after(outcome)
    again = Outcome(AGGREGATE, state, answering(RIGHT[name]))
    again.then(failed("challenge-ended"))
    other = AGGREGATE.evolve(state, replace(CHALLENGED, challenge_id="other"))
    causes = {"totp": "wrong-totp", "recovery": "wrong-recovery-code", "passkey": "wrong-passkey"}
    refused = AGGREGATE.decide(other, answering(RIGHT[name], challenge_id="other"))
    assert [event.cause for event in refused if isinstance(event, SignInFailed)] == [causes[name]]


@pytest.mark.parametrize("step", [99, 100, None])
def test_abuse_e1_a_step_that_was_used_or_one_before_it_is_no_answer(step: int | None) -> None:
    """The one that proved the app at enrolment is used up too (RFC 6238 section 5.2)."""
    account(*ENROLLED, CHALLENGED).when(answering(TotpAnswer(matching_step=step))).then(failed("wrong-totp"))


def test_a_challenge_ends_after_its_time() -> None:
    account(*ENROLLED, CHALLENGED).when(answering(RIGHT["totp"], at=EXPIRY)).then(
        failed("challenge-ended", EXPIRY)
    )
    account(*ENROLLED).when(answering(RIGHT["totp"])).then(failed("challenge-ended"))


@pytest.mark.parametrize(
    "since",
    [
        PasswordChanged(password_hash="hash-2"),
        PasswordReset(challenge_id="c", password_hash="hash-2"),
        TotpRemoved(),
    ],
)
def test_a_challenge_is_dead_after_a_new_password_or_without_factors(since: Event) -> None:
    account(*ENROLLED, CHALLENGED, since).when(answering(RIGHT["totp"])).then(failed("challenge-ended"))


WRONG = (failed("wrong-totp"), failed("wrong-recovery-code"))
LOCKED = FactorsLocked(locked_until=NOON + LOCK_OUT.duration)


def test_abuse_d7_wrong_codes_count_for_the_account_whatever_sign_in_they_are_for() -> None:
    others = tuple(replace(CHALLENGED, challenge_id=f"c{number}") for number in range(2))
    guess = answering(TotpAnswer(matching_step=None), challenge_id="c1")
    account(*ENROLLED, *others, *WRONG).when(guess).then(failed("wrong-totp"), LOCKED)
    account(*ENROLLED, *others, *WRONG, failed("wrong-totp"), LOCKED).when(guess).then(failed("locked"))
    late = replace(guess, at=NOON + LOCK_OUT.duration)
    fresh = replace(CHALLENGED, challenge_id="c1", expires_at=NOON + 60 * MINUTE)
    account(*ENROLLED, *WRONG, failed("wrong-totp"), LOCKED, fresh).when(late).then(
        failed("wrong-totp", late.at)
    )


@pytest.mark.parametrize(
    "between",
    [
        PasswordReset(challenge_id="r1", password_hash="hash-2"),
        PasswordChanged(password_hash="hash-2"),
        failed("wrong-password"),
        replace(CHALLENGED, challenge_id="c9"),
    ],
)
def test_abuse_h8_nothing_but_a_whole_sign_in_forgives_wrong_codes(between: Event) -> None:
    guess = answering(TotpAnswer(matching_step=None))
    account(*ENROLLED, *WRONG, between, CHALLENGED).when(guess).then(failed("wrong-totp"), LOCKED)
    locked = account(*ENROLLED, *WRONG, LOCKED, between, CHALLENGED)
    locked.when(answering(RIGHT["totp"])).then(failed("locked"))


@pytest.mark.parametrize(
    "between",
    [
        TotpAccepted(challenge_id="c9", step=101),
        RecoveryCodeAccepted(challenge_id="c9", number=1),
        AccountUnlocked(unlocked_at=NOON),
    ],
)
def test_a_right_answer_and_an_administrator_forgive_wrong_codes(between: Event) -> None:
    guess = answering(TotpAnswer(matching_step=None))
    account(*ENROLLED, *WRONG, between, CHALLENGED).when(guess).then(failed("wrong-totp"))
    opened = account(*ENROLLED, LOCKED, between, CHALLENGED).when(answering(TotpAnswer(matching_step=102)))
    assert isinstance(AGGREGATE.decide(opened.state, opened.command)[-1], SessionStarted)


def test_an_administrator_unlocks_codes_as_well() -> None:
    unlock = UnlockAccount(at=NOON)
    account(*ENROLLED, LOCKED).when(unlock).then(AccountUnlocked(unlocked_at=NOON))
    account(*ENROLLED, failed("wrong-totp")).when(unlock).then(AccountUnlocked(unlocked_at=NOON))
    account(*ENROLLED).when(unlock).then_nothing()


def test_more_answers_of_passkeys_than_are_remembered_have_to_wait() -> None:
    used = [
        PasskeyAccepted(
            passkey_id="p1",
            challenge_id=f"used-{number}",
            challenge_expires_at=EXPIRY,
            accepted_at=NOON,
            sign_count=0,
        )
        for number in range(MAX_SPENT)
    ]
    counted = replace(PASSKEY, sign_count=0)
    before = account(*BASE, counted, STRONG_BY_PASSKEY, *used)
    verified = VerifiedPasskey(passkey_id="p1", sign_count=0)
    before.when(with_passkey(verified)).then(failed("challenge-ended"))
    later = replace(with_passkey(verified, at=EXPIRY), challenge_expires_at=EXPIRY + MINUTE)
    assert isinstance(AGGREGATE.decide(before.state, later)[-1], SessionStarted)


def test_abuse_d5_d6_a_locked_account_takes_no_code_but_a_passkey() -> None:
    locked = AccountLocked(locked_until=NOON + 15 * MINUTE)
    given_locked = account(*WITH_ALL, CHALLENGED, locked)
    given_locked.when(answering(RIGHT["totp"])).then(failed("locked"))
    given_locked.when(answering(RIGHT["recovery"])).then(failed("locked"))
    opened = AGGREGATE.decide(given_locked.state, answering(RIGHT["passkey"]))
    assert isinstance(opened[-1], SessionStarted)
    opened = AGGREGATE.decide(
        given_locked.state, with_passkey(VerifiedPasskey(passkey_id="p1", sign_count=8))
    )
    assert isinstance(opened[-1], SessionStarted)


def test_a_wrong_passkey_is_a_failure_that_nobody_could_have_guessed() -> None:
    wrong = PasskeyAnswer(verified=None)
    before = (*WITH_ALL, CHALLENGED, *(failed("wrong-password") for _ in range(2)))
    account(*before).when(answering(wrong)).then(failed("wrong-passkey"))
    account(*before).when(with_passkey(None)).then(failed("wrong-passkey"))


def test_only_so_many_sign_ins_wait_at_once() -> None:
    challenges = [replace(CHALLENGED, challenge_id=f"c{number}") for number in range(MAX_CHALLENGES + 1)]
    state = account(*ENROLLED, *challenges).state
    assert [c.challenge_id for c in state.factors.challenges] == [c.challenge_id for c in challenges[1:]]


@pytest.mark.parametrize(
    "cause",
    ["account-disabled", "not-verified"],
)
def test_an_account_that_is_shut_takes_no_answer(cause: SignInFailureCause) -> None:
    shut = AccountDisabled(disabled_at=NOON)
    before = (*WITH_ALL, CHALLENGED, shut) if cause == "account-disabled" else (REGISTERED,)
    account(*before).when(answering(RIGHT["totp"])).then(failed(cause))
    account(*before).when(with_passkey(VerifiedPasskey(passkey_id="p1", sign_count=8))).then(failed(cause))


def test_a_passkey_opens_alone_and_is_both_factors() -> None:
    verified = VerifiedPasskey(passkey_id="p1", sign_count=8)
    outcome = account(*WITH_PASSKEY).when(with_passkey(verified))
    outcome.then(
        PasskeyAccepted(
            passkey_id="p1", challenge_id="k2", challenge_expires_at=EXPIRY, accepted_at=NOON, sign_count=8
        ),
        session(("swk", "user", "mfa")),
    )
    state = after(outcome)
    Outcome(AGGREGATE, state, with_passkey(replace(verified, sign_count=9))).then(failed("challenge-ended"))
    account(*WITH_PASSKEY).when(with_passkey(verified, at=EXPIRY)).then(failed("challenge-ended", EXPIRY))


def test_a_passkey_on_one_device_is_hwk() -> None:
    before = (*BASE, replace(PASSKEY, is_synced=False), STRONG_BY_PASSKEY)
    opened = AGGREGATE.decide(
        account(*before).state, with_passkey(VerifiedPasskey(passkey_id="p1", sign_count=8))
    )
    assert opened[-1] == session(("hwk", "user", "mfa"))


@pytest.mark.parametrize("sign_count", [0, 6, 7])
def test_abuse_f3_a_counter_that_did_not_grow_is_refused(sign_count: int) -> None:
    verified = VerifiedPasskey(passkey_id="p1", sign_count=sign_count)
    account(*WITH_PASSKEY).when(with_passkey(verified)).then(failed("wrong-passkey"))


def test_an_authenticator_that_does_not_count_is_good_for_ever() -> None:
    before = (*BASE, replace(PASSKEY, sign_count=0), STRONG_BY_PASSKEY)
    verified = VerifiedPasskey(passkey_id="p1", sign_count=0)
    assert isinstance(AGGREGATE.decide(account(*before).state, with_passkey(verified))[-1], SessionStarted)


def test_abuse_f2_a_passkey_of_nobody_opens_nothing() -> None:
    verified = VerifiedPasskey(passkey_id="p9", sign_count=8)
    account(*BASE).when(with_passkey(verified)).then(failed("wrong-passkey"))
