"""The shapes of requests and answers at the HTTP edge, as the OpenAPI document shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 1024
Email = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["ada@example.com"])]
Secret = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["a long and private sentence"])]


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SignUpBody(RequestBody):
    email: Email
    password: Secret
    display_name: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None


class VerifyBody(RequestBody):
    email: Email
    code: Annotated[str, Field(min_length=1, max_length=64, examples=["12345678"])]


class ResendBody(RequestBody):
    email: Email


class SignInBody(RequestBody):
    email: Email
    password: Secret


class ChangePasswordBody(RequestBody):
    current_password: Secret
    new_password: Secret


class ProfileBody(RequestBody):
    """`display_name` may be left out, which changes nothing; it cannot be null."""

    display_name: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, default_factory=str)]


class Accepted(BaseModel):
    status: str


class Registered(BaseModel):
    account_id: str
    position: str


class TokenResponse(BaseModel):
    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    session_id: str
    account_id: str
    position: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    errors: list[dict[str, str]] | None = None


class OAuthError(BaseModel):
    """RFC 6749 section 5.2."""

    error: str
    error_description: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's note of which errors a call may answer with."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem document", "content": content} for status in statuses}
