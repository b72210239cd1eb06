"""Example facts and commands with fixed ids and times, to be varied with `dataclasses.replace`."""

from datetime import UTC, datetime, timedelta

from domain.account_commands import LockOut, NewSession, Origin, Register, SignIn
from events.account import AccountRegistered, EmailVerified, SessionRefreshed, SessionStarted
from events.fact import Event
from eventstore.commit import Actor, Position
from eventstore.facts import RecordedFact

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOCK_OUT = LockOut(failures=3, duration=15 * MINUTE)
ORIGIN = Origin(ip="127.0.0.1", user_agent="test")
IDLE = timedelta(days=14)
ABSOLUTE = timedelta(days=90)

REGISTER = Register(
    account_id="acc",
    identifier="identifier-ada",
    policy="verify",
    email="Ada@example.com",
    display_name="Ada",
    password_hash="hash-1",
    challenge_id="challenge-1",
    code_expires_at=NOON + 15 * MINUTE,
    at=NOON,
)
REGISTERED = AccountRegistered(
    account_id="acc",
    identifier="identifier-ada",
    policy="verify",
    challenge_id="challenge-1",
    code_expires_at=NOON + 15 * MINUTE,
    registered_at=NOON,
    email="Ada@example.com",
    display_name="Ada",
    password_hash="hash-1",
)
VERIFIED = EmailVerified(challenge_id="challenge-1")


def recorded(event: Event, stream: str = "account-acc") -> RecordedFact:
    """The only fact of commit 0:1, at noon."""
    return RecordedFact(
        stream=stream,
        version=1,
        event=event,
        at=NOON,
        position=Position(partition=0, seq=1),
        number=0,
        actor=Actor(kind="system"),
        trace="",
    )


def started(session_id: str = "s1", at: datetime = NOON) -> SessionStarted:
    return SessionStarted(
        session_id=session_id,
        client_id="chancery",
        scope="openid",
        amr=("pwd",),
        acr="aal1",
        started_at=at,
        idle_expires_at=at + IDLE,
        expires_at=at + ABSOLUTE,
        ip="127.0.0.1",
        user_agent="test",
    )


def refreshed(generation: int, at: datetime, session_id: str = "s1") -> SessionRefreshed:
    return SessionRefreshed(
        session_id=session_id, generation=generation, refreshed_at=at, idle_expires_at=at + IDLE
    )


def sign_in(session_id: str = "s1", at: datetime = NOON, *, is_password_right: bool = True) -> SignIn:
    session = NewSession(
        session_id=session_id, client_id="chancery", scope="openid", idle=IDLE, absolute=ABSOLUTE
    )
    return SignIn(
        identifier=REGISTER.identifier,
        is_password_right=is_password_right,
        challenge_id=f"challenge-of-{session_id}",
        challenge_lifetime=5 * MINUTE,
        session=session,
        origin=ORIGIN,
        lock_out=LOCK_OUT,
        at=at,
    )
