"""The shapes of answers, as the OpenAPI document shows them."""

from typing import Any, Literal

from pydantic import BaseModel


class Introspection(BaseModel):
    """RFC 7662 section 2.2. An inactive token has no member but `active`."""

    active: bool
    sub: str | None = None
    sid: str | None = None
    client_id: str | None = None
    scope: str | None = None
    exp: int | None = None
    iat: int | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    jti: str | None = None
    token_type: str | None = None
    acr: str | None = None
    amr: list[str] | None = None


class Me(BaseModel):
    account_id: str
    email: str | None
    email_verified: bool
    display_name: str | None
    created_at: str
    factors: list[str]


class TotpView(BaseModel):
    enrolled_at: str
    last_used_at: str | None


class RecoveryCodesView(BaseModel):
    issued_at: str | None
    left: int


class PasskeyView(BaseModel):
    """`is_synced` is whether it may be on several devices."""

    id: str
    is_synced: bool
    registered_at: str
    last_used_at: str | None


class FactorsView(BaseModel):
    totp: TotpView | None
    recovery_codes: RecoveryCodesView
    passkeys: list[PasskeyView]


class Session(BaseModel):
    session_id: str
    created_at: str
    last_seen_at: str
    ip: str | None
    user_agent: str | None
    current: bool


class Sessions(BaseModel):
    sessions: list[Session]


class Actor(BaseModel):
    """Who asked for it: nobody known, a person, a machine client, or Chancery itself."""

    kind: Literal["anonymous", "account", "client", "system"]
    id: str | None


class AuditItem(BaseModel):
    """One fact. `position` is its commit's, `number` its place in that; `details` depend on the type."""

    at: str
    position: str
    number: int
    type: str
    account_id: str | None
    client_id: str | None
    actor: Actor
    trace_id: str | None
    details: dict[str, Any]
    ip: str | None
    user_agent: str | None


class AuditPage(BaseModel):
    """`next` is the cursor of the next page, null on the last one."""

    items: list[AuditItem]
    next: str | None


class AccountView(BaseModel):
    """`locked_until` is null unless a lock-out goes on."""

    account_id: str
    status: Literal["pending", "active", "disabled", "closed"]
    email: str | None
    email_verified: bool
    display_name: str | None
    factors: list[str]
    created_at: str
    last_sign_in_at: str | None
    password_changed_at: str | None
    locked_until: str | None
    disabled_at: str | None
    closed_at: str | None
    erase_after: str | None


class AccountPage(BaseModel):
    items: list[AccountView]
    next: str | None


class LiveSession(BaseModel):
    session_id: str
    client_id: str
    amr: list[str]
    acr: str
    created_at: str
    last_seen_at: str
    expires_at: str
    ip: str | None
    user_agent: str | None


class LiveSessionsView(BaseModel):
    sessions: list[LiveSession]


ProjectionState = Literal["live", "behind", "building", "paused", "silent", "halted"]


class PartitionProjection(BaseModel):
    """Lags are null while they cannot be known; `reason` is why the partition halted."""

    partition: int
    position: str | None
    lag_records: int | None
    lag_seconds: float | None
    state: ProjectionState
    reason: str | None


class ParkedStreamView(BaseModel):
    """`position` is that of its first fact, which could not be applied for that `reason`; `facts` wait altogether."""

    stream: str
    position: str
    type: str
    reason: str
    facts: int
    parked_at: str


class Projection(BaseModel):
    """`role`: of a read model's versions one serves; `state` is that of its worst partition; lags are the sum of records and the longest time."""

    projector: str
    version: int
    role: Literal["building", "standby", "serving"]
    state: ProjectionState
    lag_records: int | None
    lag_seconds: float | None
    parked_streams: list[ParkedStreamView]
    partitions: list[PartitionProjection]


class Projections(BaseModel):
    items: list[Projection]
    next: str | None
