"""Sign-in where second factors are enrolled: what is asked for, and what each answer is worth."""

from dataclasses import replace

import pytest

from domain.account import AGGREGATE
from domain.factor_commands import (
    PasskeyAnswer,
    TotpAnswer,
    VerifiedPasskey,
)
from domain.factors import MAX_CHALLENGES
from events.account import (
    AccountDisabled,
    AccountLocked,
    PasswordChanged,
    PasswordReset,
    SessionStarted,
    SignInFailed,
    SignInFailureCause,
)
from events.fact import Event
from events.factors import (
    PasskeyAccepted,
    RecoveryCodeAccepted,
    SignInChallenged,
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
        TotpRemoved(removed_at=NOON),
    ],
)
def test_a_challenge_is_dead_after_a_new_password_or_without_factors(since: Event) -> None:
    account(*ENROLLED, CHALLENGED, since).when(answering(RIGHT["totp"])).then(failed("challenge-ended"))


def test_abuse_d7_wrong_codes_count_for_the_account_whatever_sign_in_they_are_for() -> None:
    others = tuple(replace(CHALLENGED, challenge_id=f"c{number}") for number in range(2))
    wrong = (failed("wrong-totp"), failed("wrong-recovery-code"))
    locked_until = NOON + LOCK_OUT.duration
    account(*ENROLLED, *others, *wrong).when(
        answering(TotpAnswer(matching_step=None), challenge_id="c1")
    ).then(failed("wrong-totp"), AccountLocked(locked_until=locked_until))
    account(*ENROLLED, *others, *wrong, sign_in_challenged("c2")).when(
        answering(TotpAnswer(matching_step=None), challenge_id="c2")
    ).then(failed("wrong-totp"), AccountLocked(locked_until=locked_until))


def sign_in_challenged(challenge_id: str) -> SignInChallenged:
    """A right password in between forgives no wrong code."""
    return replace(CHALLENGED, challenge_id=challenge_id)


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
    challenges = [sign_in_challenged(f"c{number}") for number in range(MAX_CHALLENGES + 1)]
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
