"""What an account's decisions need to remember, and how each fact changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.session import Session, is_live
from events.account import (
    AccountLocked,
    AccountRegistered,
    EmailVerified,
    PasswordChanged,
    PasswordRejected,
    ProfileChanged,
    RegistrationDiscarded,
    SessionRefreshed,
    SessionRevoked,
    SessionStarted,
    SignInFailed,
)
from events.fact import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Nobody registered under this id, or the registration was discarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """`hash` is None once the account's data key was erased; `revision` counts changes from 1."""

    hash: str | None
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Registered, and the address not proven yet."""

    account_id: str
    registered_at: datetime
    email: str | None
    display_name: str | None
    password: Password


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """Proven, or let in unproven by the open sign-up policy. `sessions` holds only live ones, by id."""

    account_id: str
    registered_at: datetime
    email: str | None
    display_name: str | None
    password: Password
    sessions: Mapping[str, Session] = field(default_factory=dict)
    failures: int = 0
    locked_until: datetime | None = None


Account = Absent | Pending | Active
INITIAL: Account = Absent()


def evolve(state: Account, event: Event) -> Account:
    match state, event:
        case Absent(), AccountRegistered():
            return _registered(event)
        case Pending(), EmailVerified():
            return Active(
                account_id=state.account_id,
                registered_at=state.registered_at,
                email=state.email,
                display_name=state.display_name,
                password=state.password,
            )
        case Pending(), RegistrationDiscarded():
            return INITIAL
        case Active(), _:
            return _active(state, event)
        case _:
            return state


def is_locked(state: Active, at: datetime) -> bool:
    """Whether the password is refused at that time, right or wrong; failures then count no further."""
    return state.locked_until is not None and at < state.locked_until


def _registered(event: AccountRegistered) -> Account:
    make = Active if event.policy == "open" else Pending
    return make(
        account_id=event.account_id,
        registered_at=event.registered_at,
        email=event.email,
        display_name=event.display_name,
        password=Password(hash=event.password_hash),
    )


def _active(state: Active, event: Event) -> Active:
    match event:
        case SessionStarted():
            return replace(state, sessions=_with_started(state, event), failures=0, locked_until=None)
        case SessionRefreshed():
            return replace(state, sessions=_with_refreshed(state, event))
        case SessionRevoked():
            kept = {key: session for key, session in state.sessions.items() if key != event.session_id}
            return replace(state, sessions=kept)
        case SignInFailed(cause="wrong-password") | PasswordRejected():
            return state if is_locked(state, event.failed_at) else replace(state, failures=state.failures + 1)
        case AccountLocked():
            return replace(state, failures=0, locked_until=event.locked_until)
        case PasswordChanged():
            changed = Password(hash=event.password_hash, revision=state.password.revision + 1)
            return replace(state, password=changed, failures=0)
        case ProfileChanged():
            return replace(state, display_name=event.display_name)
        case _:
            return state


def _with_started(state: Active, event: SessionStarted) -> Mapping[str, Session]:
    """The live sessions and the new one. Expired ones leave here, by the clock of the fact itself."""
    live = {key: session for key, session in state.sessions.items() if is_live(session, event.started_at)}
    live[event.session_id] = Session(
        session_id=event.session_id,
        client_id=event.client_id,
        scope=event.scope,
        amr=event.amr,
        acr=event.acr,
        started_at=event.started_at,
        refreshed_at=event.started_at,
        idle_expires_at=event.idle_expires_at,
        expires_at=event.expires_at,
    )
    return live


def _with_refreshed(state: Active, event: SessionRefreshed) -> Mapping[str, Session]:
    session = state.sessions.get(event.session_id)
    if session is None:
        return state.sessions
    refreshed = replace(
        session,
        generation=event.generation,
        refreshed_at=event.refreshed_at,
        idle_expires_at=event.idle_expires_at,
    )
    return {**state.sessions, event.session_id: refreshed}
