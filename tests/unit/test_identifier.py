"""An e-mail address's decisions, as scenarios."""

from dataclasses import replace

from domain.identifier import (
    AGGREGATE,
    Claim,
    ClaimByChange,
    FailUnknownSignIn,
    Identifier,
    IgnoreUnknownReset,
    PresentCode,
    RejectUnknownReset,
    Release,
    RenewChallenges,
    Reserve,
)
from domain.refusals import EmailTaken
from events.account import EmailVerified
from events.identifier import (
    ChallengeRenewed,
    CodeRejected,
    IdentifierClaimed,
    IdentifierClaimedByChange,
    IdentifierReleased,
    IdentifierReserved,
    ResendIgnored,
    ReservationDropped,
    UnknownResetIgnored,
    UnknownResetRejected,
    UnknownSignInFailed,
)
from tests.support.examples import MINUTE, NOON
from tests.support.scenario import given

EXPIRY = NOON + 15 * MINUTE


def reserved(account_id: str) -> IdentifierReserved:
    return IdentifierReserved(account_id=account_id, challenge_id=f"c-{account_id}", code_expires_at=EXPIRY)


def reserve(account_id: str) -> Reserve:
    return Reserve(account_id=account_id, challenge_id=f"c-{account_id}", code_expires_at=EXPIRY, limit=2)


def present(account_id: str | None) -> PresentCode:
    return PresentCode(matching_account_id=account_id, limit=3, at=NOON)


CLAIMED_BY_A = IdentifierClaimed(account_id="a")
CLAIM = Claim(account_id="b", challenge_id="c-b", code_expires_at=EXPIRY)
RENEWED_B = ChallengeRenewed(account_id="b", challenge_id="c-b", code_expires_at=EXPIRY)


def test_an_address_waits_for_every_registration_that_asked() -> None:
    given(AGGREGATE).when(reserve("a")).then(reserved("a"))
    given(AGGREGATE, reserved("a")).when(reserve("b")).then(reserved("b"))


def test_one_registration_too_many_drops_the_oldest() -> None:
    waiting = given(AGGREGATE, reserved("a"), reserved("b"))
    waiting.when(reserve("c")).then(ReservationDropped(account_id="a"), reserved("c"))


def test_a_held_address_cannot_be_reserved_or_claimed() -> None:
    given(AGGREGATE, CLAIMED_BY_A).when(reserve("b")).then_refused(EmailTaken)
    given(AGGREGATE, CLAIMED_BY_A).when(CLAIM).then_refused(EmailTaken)


def test_an_open_claim_drops_whoever_waited_and_may_be_proven_later() -> None:
    waiting = given(AGGREGATE, reserved("a"))
    waiting.when(CLAIM).then(ReservationDropped(account_id="a"), IdentifierClaimed(account_id="b"), RENEWED_B)
    claimed = given(AGGREGATE, IdentifierClaimed(account_id="b"), RENEWED_B)
    claimed.when(present("b")).then(IdentifierClaimed(account_id="b"))


def test_a_code_activates_only_the_registration_it_was_sent_for() -> None:
    waiting = given(AGGREGATE, reserved("a"), reserved("b"))
    waiting.when(present("b")).then(IdentifierClaimed(account_id="b"), ReservationDropped(account_id="a"))
    waiting.when(present("a")).then(IdentifierClaimed(account_id="a"), ReservationDropped(account_id="b"))


def test_a_used_code_is_rejected() -> None:
    given(AGGREGATE, reserved("a"), CLAIMED_BY_A).when(present("a")).then(CodeRejected())


def test_a_wrong_code_is_a_fact_whether_or_not_the_address_is_known() -> None:
    given(AGGREGATE).when(present(None)).then(CodeRejected())
    given(AGGREGATE, reserved("a")).when(present(None)).then(CodeRejected())


def test_an_expired_code_is_rejected() -> None:
    late = replace(present("a"), at=EXPIRY)
    given(AGGREGATE, reserved("a")).when(late).then(CodeRejected())


def test_a_code_dies_of_too_many_guesses_and_a_new_one_lives() -> None:
    guessed = given(AGGREGATE, reserved("a"), CodeRejected(), CodeRejected(), CodeRejected())
    guessed.when(present("a")).then(CodeRejected())
    renewed = ChallengeRenewed(account_id="a", challenge_id="c2", code_expires_at=EXPIRY)
    again = given(AGGREGATE, reserved("a"), CodeRejected(), CodeRejected(), CodeRejected(), renewed)
    again.when(present("a")).then(IdentifierClaimed(account_id="a"))


def test_every_registration_that_waits_gets_a_new_code_of_its_own() -> None:
    renew = RenewChallenges(challenge_ids=("c-1", "c-2", "c-3"), code_expires_at=EXPIRY)
    first, second = (
        ChallengeRenewed(account_id=account_id, challenge_id=challenge_id, code_expires_at=EXPIRY)
        for account_id, challenge_id in (("a", "c-1"), ("b", "c-2"))
    )
    given(AGGREGATE, reserved("a"), reserved("b")).when(renew).then(first, second)
    renewed = given(AGGREGATE, reserved("a"), reserved("b"), first, second)
    assert [r.account_id for r in renewed.state.waiting] == ["a", "b"]


def test_a_new_code_where_none_is_pending_is_still_a_fact() -> None:
    renew = RenewChallenges(challenge_ids=("c",), code_expires_at=EXPIRY)
    given(AGGREGATE).when(renew).then(ResendIgnored())


def test_a_sign_in_for_nobody_is_a_fact() -> None:
    given(AGGREGATE).when(FailUnknownSignIn()).then(UnknownSignInFailed(cause="unknown"))


BY_CHANGE = IdentifierClaimedByChange(account_id="b", change_id="e1")


def test_a_change_claims_a_free_address_and_drops_whoever_waited() -> None:
    claim = ClaimByChange(account_id="b", change_id="e1")
    given(AGGREGATE, reserved("a")).when(claim).then(BY_CHANGE, ReservationDropped(account_id="a"))
    given(AGGREGATE, BY_CHANGE).when(claim).then_nothing()
    given(AGGREGATE, CLAIMED_BY_A).when(claim).then_refused(EmailTaken)
    given(AGGREGATE, BY_CHANGE).when(reserve("a")).then_refused(EmailTaken)


def test_an_address_is_free_once_the_last_claim_of_its_holder_is_given_back() -> None:
    again = IdentifierClaimedByChange(account_id="a", change_id="e2")
    first = IdentifierReleased(account_id="a", claim_id="a")
    second = IdentifierReleased(account_id="a", claim_id="e2")
    held = given(AGGREGATE, CLAIMED_BY_A, again)
    held.when(Release(account_id="a", claim_id="a")).then(first)
    assert given(AGGREGATE, CLAIMED_BY_A, again, first).state == Identifier(holder="a", claims=("e2",))
    assert given(AGGREGATE, CLAIMED_BY_A, again, first, second).state == AGGREGATE.initial


def test_a_claim_that_is_not_here_or_another_accounts_cannot_be_given_back() -> None:
    held = given(AGGREGATE, CLAIMED_BY_A)
    held.when(Release(account_id="a", claim_id="e9")).then_nothing()
    held.when(Release(account_id="b", claim_id="a")).then_nothing()
    assert AGGREGATE.evolve(held.state, IdentifierReleased(account_id="b", claim_id="a")) == held.state


def test_what_waited_for_its_proof_ends_with_the_last_claim() -> None:
    unproven = given(AGGREGATE, IdentifierClaimed(account_id="b"), RENEWED_B)
    released = AGGREGATE.evolve(unproven.state, IdentifierReleased(account_id="b", claim_id="b"))
    assert released == AGGREGATE.initial


def test_resets_for_nobody_are_facts() -> None:
    given(AGGREGATE).when(IgnoreUnknownReset()).then(UnknownResetIgnored())
    given(AGGREGATE).when(RejectUnknownReset()).then(UnknownResetRejected())


def test_facts_of_other_aggregates_change_nothing() -> None:
    assert AGGREGATE.evolve(AGGREGATE.initial, EmailVerified(challenge_id="c")) == AGGREGATE.initial
