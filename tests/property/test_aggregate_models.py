"""Random commands against tiny models: what must hold of every aggregate whatever is asked in any order."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import account, client, idempotency, identifier, signing_keys
from domain.account_commands import (
    Attend,
    ChangePassword,
    ChangeProfile,
    DiscardRegistration,
    LockOut,
    Refresh,
    RevokeSession,
    RevokeSessions,
    SignIn,
    VerifyEmail,
)
from domain.account_state import INITIAL, Account, Active
from domain.aggregate import AnyAggregate
from domain.refusals import (
    ClientExists,
    EmailTaken,
    IdempotencyKeyReused,
    InvalidGrant,
    Refusal,
    UnknownClient,
)
from domain.session import is_live
from events.account import AccountLocked, SessionRefreshed, SessionRevoked, SessionStarted, SignInFailed
from events.client import ClientTokenRevoked
from events.fact import Event
from events.identifier import (
    IdentifierClaimed,
    IdentifierClaimedByChange,
    IdentifierReleased,
    IdentifierReserved,
    ReservationDropped,
)
from events.signing_keys import SigningKeyCreated
from tests.support.arbitrary import MOMENTS, NAMES, SMALL, values
from tests.support.examples import MINUTE, NOON, REGISTER, sign_in

GRACE = timedelta(seconds=30)
LOCK_OUT = LockOut(failures=3, duration=15 * MINUTE)
SESSIONS = st.sampled_from(["s1", "s2", "s3", "s4", "none"])
PAUSES = st.sampled_from([timedelta(0), GRACE, MINUTE, 20 * MINUTE, timedelta(days=15)])


class Story:
    """An aggregate, what was decided so far, and the outcome of the last command."""

    def __init__(self, aggregate: AnyAggregate) -> None:
        self.aggregate = aggregate
        self.state = aggregate.initial
        self.facts: list[Event] = []

    def tell(self, command: Any) -> tuple[Event, ...] | Refusal:
        try:
            decided = self.aggregate.decide(self.state, command)
        except Refusal as refusal:
            return refusal
        for fact in decided:
            self.state = self.aggregate.evolve(self.state, fact)
        self.facts.extend(decided)
        return decided


@settings(max_examples=200)
@given(commands=st.lists(values(identifier.Command, {**SMALL, int: st.integers(1, 4)}), max_size=25))
def test_an_address_has_at_most_one_holder_as_long_as_a_claim_stands(commands: list[Any]) -> None:
    story, holder, claims, waiting = Story(identifier.AGGREGATE), None, set[str](), set[str]()
    for command in commands:
        outcome = story.tell(command)
        is_late = holder is not None and isinstance(command, identifier.Reserve | identifier.Claim)
        is_others = isinstance(command, identifier.ClaimByChange) and holder not in (None, command.account_id)
        assert isinstance(outcome, EmailTaken) == (is_late or is_others)
        for fact in () if isinstance(outcome, Refusal) else outcome:
            match fact:
                case IdentifierReserved():
                    waiting.add(fact.account_id)
                case ReservationDropped():
                    waiting.remove(fact.account_id)
                case IdentifierClaimed():
                    claiming = {command.account_id} if isinstance(command, identifier.Claim) else waiting
                    assert fact.account_id in {*claiming, holder}
                    assert holder in (None, fact.account_id)
                    holder, claims = fact.account_id, claims or {fact.account_id}
                case IdentifierClaimedByChange():
                    assert holder in (None, fact.account_id)
                    holder, claims = fact.account_id, {*claims, fact.change_id}
                case IdentifierReleased():
                    assert (holder, fact.claim_id in claims) == (fact.account_id, True)
                    claims.remove(fact.claim_id)
                    holder = holder if claims else None
        ids = [reservation.account_id for reservation in story.state.waiting]
        assert (story.state.holder, set(story.state.claims)) == (holder, claims)
        assert len(story.state.claims) == len(claims)
        assert len(ids) == len(set(ids))
        waiting = set(ids)
        if isinstance(outcome, tuple) and isinstance(command, identifier.Reserve):
            assert len(ids) <= command.limit
        if holder is not None:
            assert set(ids) <= {holder}


@settings(max_examples=150)
@given(codes=st.lists(st.tuples(NAMES | st.none(), MOMENTS), max_size=12), limit=st.integers(1, 5))
def test_only_so_many_wrong_codes_can_be_tried_and_none_after_its_time(
    codes: list[tuple[str | None, datetime]], limit: int
) -> None:
    story, expiry = Story(identifier.AGGREGATE), NOON + 15 * MINUTE
    story.tell(identifier.Reserve(account_id="a", challenge_id="c", code_expires_at=expiry, limit=5))
    for rejected, (matching, at) in enumerate(codes):
        story.tell(identifier.PresentCode(matching_account_id=matching, limit=limit, at=at))
        may_claim = matching == "a" and rejected < limit and at < expiry
        assert (story.state.holder == "a") == may_claim
        if may_claim:
            return


class AccountStory(Story):
    """An account's story with its clock. The model: every session that was ever revoked, and generations."""

    def __init__(self) -> None:
        super().__init__(account.AGGREGATE)
        self.at = NOON
        self.revoked: set[str] = set()
        self.generations: dict[str, int] = {}
        self.locked_until = NOON

    def tell(self, command: Any) -> tuple[Event, ...] | Refusal:
        outcome = super().tell(command)
        for fact in () if isinstance(outcome, Refusal) else outcome:
            match fact:
                case SessionStarted():
                    assert self.at >= self.locked_until
                    self.generations[fact.session_id] = 1
                case SessionRefreshed():
                    assert fact.session_id not in self.revoked
                    assert fact.generation == self.generations[fact.session_id] + 1
                    self.generations[fact.session_id] += 1
                case SessionRevoked():
                    self.revoked.add(fact.session_id)
                case AccountLocked():
                    self.locked_until = fact.locked_until
        self.check()
        return outcome

    def check(self) -> None:
        state: Account = self.state
        sessions = state.sessions if isinstance(state, Active) else {}
        assert not self.revoked & set(sessions)
        for session_id in {*self.generations, "none"}:
            rotating = [
                n for n in range(self.generations.get(session_id, 1) + 3) if self.rotates(session_id, n)
            ]
            session = sessions.get(session_id)
            is_usable = session is not None and is_live(session, self.at)
            assert rotating == ([self.generations[session_id]] if is_usable else [])

    def rotates(self, session_id: str, generation: int) -> bool:
        """Whether this refresh token would have a successor of its own now."""
        command = refresh(session_id, generation, self.at)
        try:
            decided = self.aggregate.decide(self.state, command)
        except InvalidGrant:
            return False
        return any(isinstance(fact, SessionRefreshed) for fact in decided)


def refresh(session_id: str, generation: int, at: datetime) -> Refresh:
    return Refresh(session_id=session_id, generation=generation, grace=GRACE, idle=timedelta(days=14), at=at)


ASKED = st.one_of(
    st.booleans().map(lambda is_right: sign_in(is_password_right=is_right)),
    st.builds(refresh, SESSIONS, st.integers(0, 4), st.just(NOON)),
    st.builds(RevokeSession, session_id=SESSIONS, cause=st.just("sign-out")),
    st.builds(RevokeSessions, acting_session_id=SESSIONS, spare=SESSIONS | st.none(), at=st.just(NOON)),
    st.builds(
        ChangePassword,
        acting_session_id=SESSIONS,
        is_password_right=st.booleans(),
        password_hash=st.just("hash-2"),
        lock_out=st.just(LOCK_OUT),
        at=st.just(NOON),
    ),
    st.builds(ChangeProfile, acting_session_id=SESSIONS, display_name=NAMES, at=st.just(NOON)),
    st.builds(Attend, acting_session_id=SESSIONS, at=st.just(NOON)),
    st.sampled_from([VerifyEmail(challenge_id="c"), DiscardRegistration(cause="superseded")]),
)
"""What may be asked of an account; when, and under which fresh id, is for the story to say."""


def placed(command: Any, at: datetime, fresh_id: str) -> Any:
    """A new session always has an id of its own, because ids are random."""
    if isinstance(command, SignIn):
        return replace(command, at=at, session=replace(command.session, session_id=fresh_id))
    return replace(command, at=at) if hasattr(command, "at") else command


@settings(max_examples=200, deadline=None)
@given(
    asked=st.lists(st.tuples(PAUSES, ASKED), min_size=5, max_size=30),
    policy=st.sampled_from(["verify", "open"]),
    is_verified=st.sampled_from([True, True, True, False]),
)
def test_a_revoked_session_never_lives_again_and_one_refresh_token_at_most_is_good(
    asked: list[tuple[timedelta, Any]], policy: Any, is_verified: object
) -> None:
    story = AccountStory()
    story.tell(replace(REGISTER, policy=policy))
    if is_verified:
        story.tell(VerifyEmail(challenge_id="c"))
    for pause, command in asked:
        story.at += pause
        story.tell(placed(command, story.at, f"s{len(story.generations) + 1}"))


@settings(max_examples=200)
@given(commands=st.lists(st.tuples(PAUSES, st.booleans()), max_size=15))
def test_a_locked_account_lets_nobody_in_and_a_pending_one_never_does(
    commands: list[tuple[timedelta, bool]],
) -> None:
    pending, active = Story(account.AGGREGATE), Story(account.AGGREGATE)
    for story in (pending, active):
        story.tell(REGISTER)
    active.tell(VerifyEmail(challenge_id="c"))
    at, wrong_in_a_row, locked_until = NOON, 0, NOON
    for number, (pause, is_right) in enumerate(commands):
        at += pause
        command = replace(sign_in(f"s{number}", at, is_password_right=is_right), lock_out=LOCK_OUT)
        (failure,) = answered(pending.tell(command))
        assert isinstance(failure, SignInFailed)
        assert failure.cause == "not-verified"
        is_let_in = any(isinstance(fact, SessionStarted) for fact in answered(active.tell(command)))
        assert is_let_in == (is_right and at >= locked_until)
        if at >= locked_until:
            wrong_in_a_row = 0 if is_right else wrong_in_a_row + 1
            if wrong_in_a_row == LOCK_OUT.failures:
                wrong_in_a_row, locked_until = 0, at + LOCK_OUT.duration
    assert account.AGGREGATE.evolve(INITIAL, SessionRevoked(session_id="s", cause="sign-out")) == INITIAL


def answered(outcome: tuple[Event, ...] | Refusal) -> tuple[Event, ...]:
    assert not isinstance(outcome, Refusal)
    return outcome


@settings(max_examples=200)
@given(commands=st.lists(values(client.Command), max_size=20))
def test_a_client_lives_once_and_gives_up_a_token_once(commands: list[Any]) -> None:
    story, secrets, is_deleted = Story(client.AGGREGATE), list[str](), False
    for command in commands:
        outcome = story.tell(command)
        was_known = bool(secrets) or is_deleted
        match command:
            case client.RegisterClient():
                assert isinstance(outcome, ClientExists) == was_known
                secrets = secrets if was_known else [command.secret_digest]
            case client.AddClientSecret():
                assert isinstance(outcome, UnknownClient) == (not secrets)
                secrets = [*secrets, command.secret_digest][-2:] if secrets else []
            case client.DeleteClient():
                assert isinstance(outcome, UnknownClient) == (not was_known)
                is_deleted, secrets = was_known, []
        assert list(getattr(story.state, "secret_digests", ())) == secrets
        assert isinstance(story.state, client.Deleted) == is_deleted
        given_up = [fact.jti for fact in story.facts if isinstance(fact, ClientTokenRevoked)]
        assert len(given_up) == len(set(given_up))
        assert is_deleted or set(given_up) == set(getattr(story.state, "revoked", ()))


@settings(max_examples=100)
@given(commands=st.lists(values(signing_keys.CreateFirstKey), max_size=6), erased=st.sets(st.integers(0, 5)))
def test_there_is_at_most_one_first_key_that_can_sign(commands: list[Any], erased: set[int]) -> None:
    story = Story(signing_keys.AGGREGATE)
    for number, command in enumerate(commands):
        story.tell(command)
        assert sum(key.private_pem is not None for key in story.state.keys) == 1
        if number in erased:
            known = [fact for fact in story.facts if isinstance(fact, SigningKeyCreated)]
            story.facts = [replace(fact, private_pem=None) for fact in known]
            story.state = signing_keys.INITIAL
            for fact in story.facts:
                story.state = story.aggregate.evolve(story.state, fact)


def rotation(kid: str, at: datetime, lead: timedelta, lifetime: timedelta) -> signing_keys.RotateKey:
    return signing_keys.RotateKey(
        kid=kid, alg="EdDSA", public_jwk=(), private_pem="p", lead=lead, token_lifetime=lifetime, at=at
    )


@settings(max_examples=200)
@given(
    pauses=st.lists(st.tuples(PAUSES, st.booleans()), min_size=1, max_size=12),
    lead=st.sampled_from([timedelta(seconds=1), MINUTE]),
)
def test_whatever_signs_verifies_until_its_last_token_has_expired(
    pauses: list[tuple[timedelta, bool]], lead: timedelta
) -> None:
    story, at, lifetime = Story(signing_keys.AGGREGATE), NOON, 5 * MINUTE
    story.tell(signing_keys.CreateFirstKey(kid="k0", alg="ES256", public_jwk=(), private_pem="p", at=at))
    signed: list[tuple[datetime, str]] = []
    for number, (pause, is_rotated) in enumerate(pauses, start=1):
        at += pause
        if is_rotated:
            story.tell(rotation(f"k{number}", at, lead, lifetime))
        story.tell(signing_keys.RetireKeys(at=at))
        signer = signing_keys.signing(story.state, at)
        assert signer is not None
        signed.append((at, signer.kid))
        good = {one.kid for one in signing_keys.verifying(story.state, at)}
        assert {kid for then, kid in signed if at < then + lifetime} <= good
        assert {one.kid for one in story.state.keys if one.private_pem is not None} == good


@settings(max_examples=150)
@given(steps=st.lists(st.tuples(st.integers(0, 30), NAMES), max_size=12))
def test_within_a_day_only_the_first_body_goes_with_a_key(steps: list[tuple[int, str]]) -> None:
    story, at, first = Story(idempotency.AGGREGATE), NOON, None
    for hours, fingerprint in steps:
        at += timedelta(hours=hours)
        if first is None or at >= first[1] + idempotency.KEPT_FOR:
            first = (fingerprint, at)
        outcome = story.tell(idempotency.Receive(fingerprint=fingerprint, at=at))
        assert isinstance(outcome, IdempotencyKeyReused) == (fingerprint != first[0])
        assert story.state == idempotency.Received(fingerprint=first[0], received_at=first[1])
