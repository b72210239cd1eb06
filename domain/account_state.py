"""What an account's decisions need to remember, and how each fact changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.addresses import Addresses, Held, evolve_addresses, mailed_lately
from domain.factors import Factors, evolve_factors, without_challenges
from domain.risk import Risk, evolve_risk
from domain.session import Session, is_live
from events.account import (
    AccountClosed,
    AccountDisabled,
    AccountEnabled,
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    EmailVerified,
    MailBounced,
    PasswordChanged,
    PasswordRejected,
    PasswordReset,
    PasswordResetRequested,
    ProfileChanged,
    RegistrationDiscarded,
    ResetCodeRejected,
    SessionRefreshed,
    SessionRevoked,
    SessionStarted,
    SessionStrengthened,
    SignInFailed,
)
from events.email_change import EmailChanged, EmailChangeUndone
from events.fact import Event, personal
from events.risk import OwnerNoticeRequested, SessionFlagged, StepUpRequired

MAX_BOUNCED = 8
"""Bounced mails of one account that are remembered, so that no account grows without bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Nobody registered under this id, or the registration was discarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """`hash` is None once the account's data key was erased; `revision` counts changes from 1.

    One that `is_short` is good only beside a second factor.
    """

    hash: str | None = personal(default=None)
    revision: int = 1
    is_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Registered, and the address not proven yet."""

    account_id: str
    identifier: str
    registered_at: datetime
    password: Password
    email: str | None = personal(default=None)
    display_name: str | None = personal(default=None)
    bounced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A code for a new password that was mailed."""

    challenge_id: str
    code_expires_at: datetime
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """Proven, or let in unproven by the open sign-up policy. `sessions` holds only live ones, by id.

    `reset_mailed_at` says when codes for a new password went out, within the last hour; `bounced` names the last
    mails that were refused for good. Until `is_proven`, somebody else may have signed up with the owner's address.
    """

    account_id: str
    registered_at: datetime
    addresses: Addresses
    password: Password
    display_name: str | None = personal(default=None)
    sessions: Mapping[str, Session] = field(default_factory=dict)
    failures: int = 0
    locked_until: datetime | None = None
    reset: Reset | None = None
    reset_mailed_at: tuple[datetime, ...] = ()
    bounced: tuple[str, ...] = ()
    risk: Risk = field(default_factory=Risk)
    factors: Factors = field(default_factory=Factors)
    is_proven: bool = True

    @property
    def email(self) -> str | None:
        return self.addresses.current.email


@dataclass(frozen=True, slots=True, kw_only=True)
class Disabled:
    """An administrator shut it. `account` is what it is again once it is enabled; it has no sessions."""

    account: Active

    @property
    def email(self) -> str | None:
        return self.account.email

    @property
    def registered_at(self) -> datetime:
        return self.account.registered_at

    @property
    def addresses(self) -> Addresses:
        return self.account.addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Its owner shut it, for good. Its addresses stay held until it is erased."""

    account_id: str
    registered_at: datetime
    addresses: Addresses
    erase_after: datetime

    @property
    def email(self) -> str | None:
        return self.addresses.current.email


Account = Absent | Pending | Active | Disabled | Closed
INITIAL: Account = Absent()


def evolve(state: Account, event: Event) -> Account:
    match state, event:
        case Absent(), AccountRegistered():
            return _registered(event)
        case Pending(), EmailVerified():
            return _activated(state)
        case Pending(), RegistrationDiscarded():
            return INITIAL
        case Pending(), MailBounced():
            return replace(state, bounced=_with_bounced(state.bounced, event))
        case Active(), AccountDisabled():
            return Disabled(account=replace(_without_challenges(state), sessions={}))
        case Disabled(), AccountEnabled():
            return state.account
        case Active(), AccountClosed():
            return _closed(state, event)
        case Active(), _:
            return _active(state, event)
        case Disabled(), _:
            return Disabled(account=_active(state.account, event))
        case Closed(), _:
            return replace(state, addresses=evolve_addresses(state.addresses, event))
        case _:
            return state


def is_locked(state: Active, at: datetime) -> bool:
    """Whether the password is refused at that time, right or wrong; failures then count no further."""
    return state.locked_until is not None and at < state.locked_until


def _registered(event: AccountRegistered) -> Account:
    pending = Pending(
        account_id=event.account_id,
        identifier=event.identifier,
        registered_at=event.registered_at,
        email=event.email,
        display_name=event.display_name,
        password=Password(hash=event.password_hash),
    )
    return replace(_activated(pending), is_proven=False) if event.policy == "open" else pending


def _activated(state: Pending) -> Active:
    held = Held(identifier=state.identifier, claim_id=state.account_id, email=state.email)
    return Active(
        account_id=state.account_id,
        registered_at=state.registered_at,
        addresses=Addresses(current=held),
        display_name=state.display_name,
        password=state.password,
        bounced=state.bounced,
    )


def _closed(state: Active, event: AccountClosed) -> Closed:
    return Closed(
        account_id=state.account_id,
        registered_at=state.registered_at,
        addresses=replace(state.addresses, change=None),
        erase_after=event.erase_after,
    )


def _active(state: Active, event: Event) -> Active:
    match event:
        case SessionStarted():
            return replace(
                state,
                sessions=_with_started(state, event),
                failures=0,
                locked_until=None,
                risk=evolve_risk(state.risk, event),
            )
        case SessionRefreshed():
            return replace(state, sessions=_with_refreshed(state, event))
        case SessionStrengthened():
            return replace(state, sessions=_with_strengthened(state, event))
        case SessionRevoked():
            kept = {key: session for key, session in state.sessions.items() if key != event.session_id}
            return replace(state, sessions=kept)
        case SignInFailed(cause="wrong-password") | PasswordRejected():
            return state if is_locked(state, event.failed_at) else replace(state, failures=state.failures + 1)
        case AccountLocked():
            return replace(state, failures=0, locked_until=event.locked_until)
        case AccountUnlocked():
            factors = evolve_factors(state.factors, event)
            return replace(state, failures=0, locked_until=None, factors=factors)
        case PasswordChanged():
            return replace(_with_password(state, event), failures=0)
        case PasswordReset():
            changed = _with_password(state, event)
            return replace(changed, failures=0, locked_until=None, is_proven=True)
        case PasswordResetRequested() | ResetCodeRejected():
            return _with_reset(state, event)
        case ProfileChanged():
            return replace(state, display_name=event.display_name)
        case MailBounced():
            return replace(state, bounced=_with_bounced(state.bounced, event))
        case StepUpRequired():
            return replace(state, sessions=_with_step_up(state, event))
        case SessionFlagged() | OwnerNoticeRequested():
            return replace(state, risk=evolve_risk(state.risk, event))
        case EmailChanged() | EmailChangeUndone():
            addresses = evolve_addresses(state.addresses, event)
            return replace(state, addresses=addresses, reset=None, is_proven=True)
        case EmailVerified():
            return replace(state, is_proven=True)
        case _:
            return replace(
                state,
                addresses=evolve_addresses(state.addresses, event),
                factors=evolve_factors(state.factors, event),
            )


def _with_bounced(bounced: tuple[str, ...], event: MailBounced) -> tuple[str, ...]:
    return (*bounced, event.message_id)[-MAX_BOUNCED:]


def _with_password(state: Active, event: PasswordChanged | PasswordReset) -> Active:
    """A new password. Whatever was asked for under the old one is dead."""
    changed = Password(
        hash=event.password_hash, revision=state.password.revision + 1, is_short=event.is_short
    )
    return replace(_without_challenges(state), password=changed)


def _without_challenges(state: Active) -> Active:
    return replace(
        state,
        reset=None,
        addresses=replace(state.addresses, change=None),
        factors=without_challenges(state.factors),
    )


def _with_reset(state: Active, event: PasswordResetRequested | ResetCodeRejected) -> Active:
    if isinstance(event, PasswordResetRequested):
        reset = Reset(challenge_id=event.challenge_id, code_expires_at=event.code_expires_at)
        mailed_at = (*mailed_lately(state.reset_mailed_at, event.requested_at), event.requested_at)
        return replace(state, reset=reset, reset_mailed_at=mailed_at)
    if state.reset is None:
        return state
    return replace(state, reset=replace(state.reset, failures=state.reset.failures + 1))


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


def _with_strengthened(state: Active, event: SessionStrengthened) -> Mapping[str, Session]:
    session = state.sessions.get(event.session_id)
    if session is None:
        return state.sessions
    return {**state.sessions, event.session_id: replace(session, amr=event.amr, acr=event.acr)}


def _with_step_up(state: Active, event: StepUpRequired) -> Mapping[str, Session]:
    session = state.sessions.get(event.session_id)
    if session is None:
        return state.sessions
    return {**state.sessions, event.session_id: replace(session, needs_step_up=True)}
