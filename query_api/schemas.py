"""The shapes of answers, as the OpenAPI document shows them."""

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


class Session(BaseModel):
    session_id: str
    created_at: str
    last_seen_at: str
    ip: str | None
    user_agent: str | None
    current: bool


class Sessions(BaseModel):
    sessions: list[Session]
