"""How much anybody may do: settings whose names begin with `CHANCERY_LIMIT_`.

What stands below a field is its row in `docs/reference/limits.md`; after `One too many:` its last column.
"""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.rates import Rate, parse_rate

RateSetting = Annotated[Rate, NoDecode, BeforeValidator(parse_rate)]


class LimitSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CHANCERY_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    limit_address_sign_ups: RateSetting = Rate(1200, 60)
    """`POST /v1/accounts` from one prefix. One too many: 429."""
    limit_address_sign_ins: RateSetting = Rate(6000, 60)
    """`POST /v1/sessions`, `/v1/sessions/challenge`, `/v1/passkey-sessions` and its `/options` from one prefix. One too many: 429."""
    limit_address_codes: RateSetting = Rate(6000, 60)
    """Codes that one prefix presents: `POST /v1/email-verifications`, `/v1/password-resets/confirm`, `/v1/email-changes/undo`. One too many: 429."""
    limit_address_mails: RateSetting = Rate(1200, 60)
    """Mails that one prefix asks for: `POST /v1/email-verifications/resend`, `/v1/password-resets`. One too many: 429."""
    limit_address_tokens: RateSetting = Rate(240_000, 60)
    """`POST /oauth/token` and `/oauth/revoke` from one prefix. One too many: 429."""
    limit_account_mails: RateSetting = Rate(60, 3600)
    """Mails that one signed-in account asks for: `POST /v1/me/email-changes`. One too many: 429."""
    limit_account_factors: RateSetting = Rate(120, 3600)
    """Calls of one signed-in account that add a factor: `POST /v1/me/factors/totp` and `/confirm`, `/v1/me/passkeys/options` and `/v1/me/passkeys`. One too many: 429."""
    limit_client_tokens: RateSetting = Rate(120_000, 60)
    """Tokens that one machine client gets at `/oauth/token`, after it has proven its secret. One too many: 429."""
    limit_alone_divisor: int = Field(default=3, ge=1, le=1000)
    """Divides every rate in a process that counts alone, because Valkey does not answer."""
    limit_sign_in_failures: int = Field(default=10, ge=1)
    """Wrong passwords of one account in a row; as many wrong codes of an authenticator app and recovery codes, counted apart. One too many: lock-out: the right one fails as well, with the same answer; passkeys do not."""
    limit_lock_out_seconds: int = Field(default=900, ge=1)
    """How long the lock-out lasts; running sessions go on."""
    limit_code_failures: int = Field(default=10, ge=1)
    """Wrong codes at one address. One too many: every code that waits there is dead."""
    limit_pending_registrations: int = Field(default=5, ge=1)
    """Registrations that wait for proof at one address. One too many: 202 as always, and no further registration."""
    limit_code_mails: int = Field(default=5, ge=1)
    """Mails with a code for a new password that one account gets in an hour; as many again for e-mail changes. One too many: the answer as always, and no mail."""
    limit_mails: int = Field(default=10, ge=1)
    """Mails an hour to one mailbox that anybody can cause by typing its address. One too many: the answer as always, and no mail."""
    limit_notice_mails: int = Field(default=30, ge=1)
    """Mails an hour to one mailbox that tell the owner of an account what happens to it; must be more than `CHANCERY_LIMIT_CODE_MAILS`. One too many: no mail."""

    @model_validator(mode="after")
    def _leaves_room_for_notices(self) -> Self:
        if self.limit_notice_mails <= self.limit_code_mails:
            raise ValueError(
                "CHANCERY_LIMIT_NOTICE_MAILS must be more than CHANCERY_LIMIT_CODE_MAILS: else whoever asks for new "
                "passwords silences the mails that tell an owner of a change"
            )
        return self
