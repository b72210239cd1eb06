"""The shapes of requests and answers at the HTTP edge, as the OpenAPI document shows them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from command_api.passkey_schemas import PasskeyBody, RequestOptions
from events.risk import RiskReason

MAX_TEXT = 1024
Email = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["ada@example.com"])]
Secret = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["a long and private sentence"])]
Code = Annotated[str, Field(min_length=1, max_length=64, examples=["12345678"])]

Slug = Annotated[str, Field(max_length=64, pattern=r"^[a-z]+(-[a-z]+)*$")]


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SignUpBody(RequestBody):
    email: Email
    password: Secret
    display_name: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None


class VerifyBody(RequestBody):
    email: Email
    code: Code


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


class ResetBody(RequestBody):
    email: Email


class ConfirmResetBody(RequestBody):
    email: Email
    code: Code
    new_password: Secret


class EmailChangeBody(RequestBody):
    new_email: Email
    password: Secret


class ConfirmEmailChangeBody(RequestBody):
    code: Code


class UndoEmailChangeBody(RequestBody):
    code: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["cuc_…"])]


class CloseAccountBody(RequestBody):
    password: Secret


class PasswordBody(RequestBody):
    password: Secret


class ConfirmTotpBody(RequestBody):
    code: Code


class ChallengeBody(RequestBody):
    """The challenge of a sign-in, and exactly one answer to it."""

    challenge: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["csc_…"])]
    totp: Code | None = None
    recovery_code: Code | None = None
    passkey: PasskeyBody | None = None

    @model_validator(mode="after")
    def _has_one_answer(self) -> Self:
        if [self.totp, self.recovery_code, self.passkey].count(None) != 2:  # noqa: PLR2004  # all but one
            raise ValueError("give exactly one of totp, recovery_code and passkey")
        return self


class NewClientBody(RequestBody):
    name: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["billing"])]
    scopes: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXT, examples=[["chancery.introspect"]])]
    audiences: Annotated[list[str], Field(max_length=MAX_TEXT, default_factory=list, examples=[[]])]


class Accepted(BaseModel):
    status: str


class Closed(BaseModel):
    status: str
    erase_after: str
    position: str


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


class SignInChallenge(BaseModel):
    """The password was right, and one of these factors is asked for: at `/v1/sessions/challenge`."""

    challenge: str
    factors: list[str]
    expires_in: int
    passkey_options: RequestOptions | None = None
    position: str


class NewTotp(BaseModel):
    """`qr_svg` is a picture of `otpauth_uri`, which holds the secret."""

    secret: str
    otpauth_uri: str
    qr_svg: str
    expires_in: int
    position: str


class RecoveryCodes(BaseModel):
    recovery_codes: list[str]
    position: str


class ClientSecret(BaseModel):
    """The secret is shown only here."""

    client_id: str
    client_secret: str
    position: str


class NewSigningKey(BaseModel):
    kid: str
    activates_at: str
    position: str


class OAuthError(BaseModel):
    """RFC 6749 section 5.2."""

    error: str
    error_description: str


class MailBounceBody(RequestBody):
    """`message_id` is the mail's own header; `kind` is which of our mails it was."""

    account_id: Annotated[str, Field(max_length=MAX_TEXT)]
    message_id: Annotated[str, Field(min_length=3, max_length=MAX_TEXT, pattern=r"^<[\x21-\x7e]+>$")]
    kind: Slug


class FlagBody(RequestBody):
    account_id: Annotated[str, Field(max_length=MAX_TEXT)]
    session_id: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    reason: RiskReason


class StepUpBody(RequestBody):
    """Without `session_id`: every live session of the account."""

    account_id: Annotated[str, Field(max_length=MAX_TEXT)]
    session_id: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None
    reason: RiskReason


class NoticeBody(RequestBody):
    """`notice_id` is the same for every repetition of one conclusion."""

    account_id: Annotated[str, Field(max_length=MAX_TEXT)]
    notice_id: Annotated[str, Field(max_length=64, pattern=r"^[a-z2-7]+$")]
    reason: RiskReason
