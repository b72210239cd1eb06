"""Random lives of an account with second factors: what is good once is good once, and the read model says the same."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import AGGREGATE
from domain.account_state import Active
from domain.factor_commands import PasskeyAnswer, RecoveryAnswer, TotpAnswer, VerifiedPasskey
from domain.refusals import Refusal
from events.account import PasswordChanged, SessionStarted
from events.fact import Event
from events.factors import PasskeyAccepted, RecoveryCodeAccepted, TotpAccepted, TotpEnrolled
from projectors.factors import evolve as evolve_row
from readmodels.factors import Factors as Row
from tests.support.examples import MINUTE, NOON, recorded, sign_in
from tests.support.factors import (
    BASE,
    CHANGE,
    CONFIRM,
    ENROLLED,
    ISSUE,
    REGISTER_PASSKEY,
    REMOVE,
    REMOVE_PASSKEY,
    START,
    WITH_ALL,
    WITH_PASSKEY,
    answering,
    with_passkey,
)

STEPS = st.sampled_from([None, 100, 101, 102, 103])
COUNTS = st.integers(0, 12)
PASSKEYS = st.sampled_from(["p1", "p2"])
VERIFIED = st.none() | st.builds(VerifiedPasskey, passkey_id=PASSKEYS, sign_count=COUNTS)
ANSWERS = st.one_of(
    st.builds(TotpAnswer, matching_step=STEPS),
    st.builds(
        RecoveryAnswer, set_id=st.sampled_from(["r1", "r2"]), matching_number=st.none() | st.integers(0, 2)
    ),
    st.builds(PasskeyAnswer, verified=VERIFIED),
)
PAUSES = st.sampled_from([*[timedelta(0)] * 6, timedelta(seconds=30), 4 * MINUTE, 20 * MINUTE])
BEGINNINGS = st.sampled_from([BASE, ENROLLED, WITH_PASSKEY, WITH_ALL])
NUMBERS = st.integers(0, 5)
WISHES = st.one_of(
    st.tuples(st.just("sign in"), st.booleans()),
    st.tuples(st.just("answer"), NUMBERS, ANSWERS),
    st.tuples(st.just("passkey"), NUMBERS, VERIFIED),
    st.tuples(st.just("start")),
    st.tuples(st.just("confirm"), STEPS, st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("remove"), st.booleans()),
    st.tuples(st.just("issue"), st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("register"), PASSKEYS, NUMBERS),
    st.tuples(st.just("unregister"), PASSKEYS),
    st.tuples(st.just("password"), st.booleans()),
)


class Life:
    """One account, its facts in commits, and the row that the projector makes of them."""

    def __init__(self, before: tuple[Event, ...]) -> None:
        self.state: Any = AGGREGATE.initial
        self.row: Row | None = None
        self.at, self.sign_ins = NOON, 0
        self.session_id = "s1"
        for event in before:
            self._apply(event)

    def live(self, wish: tuple[Any, ...], pause: timedelta) -> tuple[Event, ...]:
        self.at += pause
        try:
            events = AGGREGATE.decide(self.state, self._command(wish, self.at))
        except Refusal:
            return ()
        for event in events:
            self._apply(event)
            if isinstance(event, SessionStarted):
                self.session_id = event.session_id
        return events

    def _apply(self, event: Event) -> None:
        self.state = AGGREGATE.evolve(self.state, event)
        self.row = evolve_row(self.row, recorded(event))

    def _command(self, wish: tuple[Any, ...], at: datetime) -> Any:
        acting: dict[str, Any] = {"acting_session_id": self.session_id, "at": at}
        match wish:
            case ("sign in", is_right):
                self.sign_ins += 1
                asked = sign_in(f"n{self.sign_ins}", at, is_password_right=is_right)
                return replace(asked, challenge_id=f"c{self.sign_ins}")
            case ("answer", number, answer):
                self.sign_ins += 1
                session = sign_in(f"n{self.sign_ins}").session
                return replace(answering(answer, at, f"c{self.sign_ins - 1 - number}"), session=session)
            case ("passkey", number, verified):
                self.sign_ins += 1
                session = sign_in(f"n{self.sign_ins}").session
                return replace(
                    with_passkey(verified, at, f"k{number}"),
                    session=session,
                    challenge_expires_at=NOON + 60 * MINUTE,
                )
            case ("start",):
                return replace(START, **acting, expires_at=at + 15 * MINUTE)
            case ("confirm", step, set_id):
                return replace(CONFIRM, **acting, matching_step=step, set_id=set_id)
            case ("remove", is_right):
                return replace(REMOVE, **acting, is_password_right=is_right)
            case ("issue", set_id):
                return replace(ISSUE, **acting, set_id=set_id)
            case ("register", passkey_id, number):
                return replace(
                    REGISTER_PASSKEY,
                    **acting,
                    passkey_id=passkey_id,
                    credential_id=f"credential-{passkey_id[1:]}",
                    challenge_id=f"k{number}",
                    challenge_expires_at=NOON + 60 * MINUTE,
                    sign_count=0,
                )
            case ("unregister", passkey_id):
                return replace(REMOVE_PASSKEY, **acting, passkey_id=passkey_id)
            case _:
                return replace(CHANGE, **acting, is_short=wish[1])


@settings(max_examples=400, deadline=None)
@given(BEGINNINGS, st.lists(st.tuples(WISHES, PAUSES), max_size=40))
def test_what_is_good_once_is_good_once_and_a_password_alone_opens_nothing_beside_a_factor(
    before: tuple[Event, ...], wishes: list[tuple[tuple[Any, ...], timedelta]]
) -> None:
    life = Life(before)
    challenges, passkey_challenges, last_step = Counter[str](), Counter[str](), 100
    for wish, pause in wishes:
        was_enrolled = life.state.factors.is_enrolled
        left = life.state.factors.recovery_codes
        events = life.live(wish, pause)
        for event in events:
            match event:
                case TotpEnrolled():
                    last_step = event.step
                case TotpAccepted():
                    assert event.step > last_step
                    last_step = event.step
                    challenges[event.challenge_id] += 1
                case RecoveryCodeAccepted():
                    assert left is not None
                    assert event.number in left.left
                    challenges[event.challenge_id] += 1
                case PasskeyAccepted():
                    passkey_challenges[event.challenge_id] += 1
                case SessionStarted():
                    is_proven = isinstance(events[-2] if len(events) > 1 else None, PasskeyAccepted) or any(
                        isinstance(one, TotpAccepted | RecoveryCodeAccepted) for one in events
                    )
                    assert (event.acr == "aal2") == is_proven == was_enrolled
                    assert len({"pwd", "otp", "swk"} & {*event.amr}) == 1 + (
                        event.amr[0] == "pwd" and is_proven
                    )
                case PasswordChanged():
                    assert not event.is_short or was_enrolled
        _agree(life)
    assert {*challenges.values(), *passkey_challenges.values()} <= {1}


def _agree(life: Life) -> None:
    state = life.state
    assert isinstance(state, Active)
    factors = state.factors
    if factors.is_enrolled:
        assert {session.acr for session in state.sessions.values()} <= {"aal2"}
    else:
        assert factors.recovery_codes is None
        assert not state.password.is_short
        assert life.row is None
        return
    assert life.row is not None
    assert (life.row.totp_enrolled_at is not None) == (factors.totp is not None)
    assert life.row.recovery_codes_left == len(factors.recovery_codes.left if factors.recovery_codes else ())
    assert [one.passkey_id for one in life.row.passkeys] == [one.passkey_id for one in factors.passkeys]
