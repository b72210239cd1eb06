"""Every setting of every process, read once at start from `CHANCERY_…` variables.

In development the local stack writes `<home>/local.env` and `<home>/secrets.env`; real variables win over
both. In production neither file is read, and secrets made for development refuse to start.
"""

import base64
import binascii
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.rates import Rate, parse_rate
from runtime.serving.client_address import Network, parse_networks

DEVELOPMENT_MARK = "dev_"
"""Generated development secrets begin with this, so that production can recognise and refuse them."""

SECRET_BYTES = 32
RateSetting = Annotated[Rate, NoDecode, BeforeValidator(parse_rate)]
NetworksSetting = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(parse_networks)]


class SettingsError(Exception):
    """The configuration does not let this process start."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CHANCERY_", extra="ignore", frozen=True)

    mode: Literal["development", "production"] = "development"
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    kafka_bootstrap: str = "127.0.0.1:29092"
    events_topic: str = "chancery.events"
    keys_topic: str = "chancery.keys"
    public_topic: str = "chancery.public"
    partitions: int = Field(default=8, ge=1, le=1024)
    replication_factor: int = Field(default=1, ge=1)
    postgres_dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:25432/postgres")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:26380/0")
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 21025
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_tls_authority: str = ""
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    mail_from: str = "Chancery <no-reply@chancery.localhost>"

    bind_host: str = "127.0.0.1"
    command_port: int = 8081
    query_port: int = 8082
    grpc_port: int = 8083
    query_ports: Literal["own", "shared"] = "own"
    query_own_port: int = Field(default=0, ge=0, le=65535)
    projectors_port: int = 8084
    mailer_port: int = 8085
    relay_port: int = 8086
    risk_port: int = 8087
    trusted_proxies: NetworksSetting = ()
    command_url: str = "http://127.0.0.1:8081"
    query_url: str = "http://127.0.0.1:8082"
    system_url: str = ""
    forwarding: Literal["on", "off"] = "on"
    internal_host: str = "127.0.0.1"
    internal_port: int = Field(default=0, ge=0, le=65535)
    internal_url: str = ""
    internal_tls_certificate: str = ""
    internal_tls_key: str = ""
    internal_tls_authority: str = ""
    issuer: str = "http://127.0.0.1:8082"
    audience: str = "chancery"
    person_scope: str = "openid profile email"

    secret_key: SecretStr
    key_encryption_key_file: str = ""
    key_encryption_keys_before: SecretStr = SecretStr("")
    key_encryption_key: SecretStr = Field(default=SecretStr(""), validate_default=True)

    signup: Literal["verify", "open"] = "verify"
    code_seconds: int = Field(default=900, ge=60)
    token_cache_entries: int = Field(default=200_000, ge=0)
    access_token_seconds: int = Field(default=300, ge=30, le=3600)
    signing_algorithm: Literal["ES256", "EdDSA", "RS256"] = "ES256"
    signing_key_lead_seconds: int = Field(default=2, ge=1, le=86_400)
    refresh_idle_seconds: int = Field(default=14 * 86_400, ge=60)
    refresh_absolute_seconds: int = Field(default=90 * 86_400, ge=60)
    refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    limit_sign_in_failures: int = Field(default=10, ge=1)
    limit_lock_out_seconds: int = Field(default=900, ge=1)
    limit_code_failures: int = Field(default=10, ge=1)
    limit_pending_registrations: int = Field(default=5, ge=1)
    limit_code_mails: int = Field(default=5, ge=1)
    limit_mails: int = Field(default=10, ge=1)
    limit_notice_mails: int = Field(default=30, ge=1)
    limit_address_sign_ups: RateSetting = Rate(1200, 60)
    limit_address_sign_ins: RateSetting = Rate(6000, 60)
    limit_address_codes: RateSetting = Rate(6000, 60)
    limit_address_mails: RateSetting = Rate(1200, 60)
    limit_address_tokens: RateSetting = Rate(240_000, 60)
    limit_account_mails: RateSetting = Rate(60, 3600)
    limit_client_tokens: RateSetting = Rate(120_000, 60)
    limit_alone_divisor: int = Field(default=3, ge=1, le=1000)
    risk_group: str = "chancery.risk"
    risk_window_seconds: int = Field(default=3600, ge=1, le=86_400)
    risk_failures: int = Field(default=15, ge=1, le=1000)
    risk_refresh_reuses: int = Field(default=3, ge=1, le=1000)
    risk_unfamiliar_sign_ins: int = Field(default=5, ge=1, le=1000)
    risk_accounts_of_source: int = Field(default=20, ge=1, le=1000)
    email_undo_seconds: int = Field(default=7 * 86_400, ge=60)
    close_grace_days: int = Field(default=30, ge=0)
    password_hash_threads: int = Field(default=2, ge=1)
    password_hash_queue: int = Field(default=64, ge=1)
    stream_cache_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    start_seconds: float = Field(default=30.0, ge=0)
    command_deadline_seconds: float = Field(default=2.0, gt=0)
    revocation_stale_seconds: float = Field(default=5.0, gt=0)
    projection_lag_seconds: float = Field(default=10.0, gt=0)
    changed_read_models: Literal["offer", "in-place"] = "offer"

    @field_validator("secret_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        secret_bytes(value)
        return value

    @field_validator("key_encryption_key")
    @classmethod
    def _has_wrapping_keys(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        path, before = info.data.get("key_encryption_key_file"), info.data.get("key_encryption_keys_before")
        try:
            keys = _wrapping_keys(value, before or SecretStr(""), path or "")
        except OSError as error:
            raise ValueError(f"the file of keys cannot be read: {error.strerror}") from None
        if not keys:
            raise PydanticCustomError("missing", "is not set")
        for key in keys:
            secret_bytes(key)
        return value

    @model_validator(mode="after")
    def _refuses_development_secrets_in_production(self) -> Self:
        secrets = {"SECRET_KEY": self.secret_key, "KEY_ENCRYPTION_KEY": self.wrapping_keys[0]}
        for name, value in secrets.items():
            if self.mode == "production" and value.get_secret_value().startswith(DEVELOPMENT_MARK):
                raise ValueError(
                    f"CHANCERY_{name} was generated for development; give production its own: "
                    "32 random bytes, base64url",
                )
        return self

    @model_validator(mode="after")
    def _has_all_of_tls_or_nothing(self) -> Self:
        files = (self.internal_tls_certificate, self.internal_tls_key, self.internal_tls_authority)
        if any(files) and not all(files):
            raise ValueError(
                "CHANCERY_INTERNAL_TLS_CERTIFICATE, CHANCERY_INTERNAL_TLS_KEY and CHANCERY_INTERNAL_TLS_AUTHORITY "
                "belong together: set all of them or none"
            )
        if self.internal_url and self.internal_url.startswith("https://") != all(files):
            raise ValueError(
                "CHANCERY_INTERNAL_URL is https:// if and only if CHANCERY_INTERNAL_TLS_… are set"
            )
        return self

    @model_validator(mode="after")
    def _keeps_the_mail_password_to_itself(self) -> Self:
        has_password = bool(self.smtp_password.get_secret_value())
        if bool(self.smtp_username) != has_password:
            raise ValueError(
                "CHANCERY_SMTP_USERNAME and CHANCERY_SMTP_PASSWORD belong together: set both or none"
            )
        if has_password and self.smtp_tls == "none":
            raise ValueError(
                "CHANCERY_SMTP_PASSWORD would be readable on its way: set CHANCERY_SMTP_TLS to starttls or tls"
            )
        return self

    @model_validator(mode="after")
    def _leaves_room_for_notices(self) -> Self:
        if self.limit_notice_mails <= self.limit_code_mails:
            raise ValueError(
                "CHANCERY_LIMIT_NOTICE_MAILS must be more than CHANCERY_LIMIT_CODE_MAILS: else whoever asks for new "
                "passwords silences the mails that tell an owner of a change"
            )
        return self

    @property
    def forwards(self) -> bool:
        """Whether calls go between command processes. In production it must be said where they are taken."""
        return self.forwarding == "on" and (bool(self.internal_url) or self.mode == "development")

    @property
    def wrapping_keys(self) -> tuple[SecretStr, ...]:
        """The keys that data keys are wrapped with: the current one, then those of before."""
        return _wrapping_keys(
            self.key_encryption_key, self.key_encryption_keys_before, self.key_encryption_key_file
        )

    @property
    def code_lifetime(self) -> timedelta:
        return timedelta(seconds=self.code_seconds)


def _wrapping_keys(current: SecretStr, before: SecretStr, path: str) -> tuple[SecretStr, ...]:
    """From the file if one is named, a key a line, else from the variables."""
    texts = [current.get_secret_value(), *before.get_secret_value().split(",")]
    if path:
        texts = Path(path).read_text().splitlines()
    return tuple(SecretStr(text.strip()) for text in texts if text.strip())


def secret_bytes(value: SecretStr) -> bytes:
    """The 32 bytes that a secret setting stands for: base64url, with or without the development mark."""
    text = value.get_secret_value().removeprefix(DEVELOPMENT_MARK)
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise ValueError("must be 32 random bytes in base64url")
    return raw


def home() -> Path:
    """The folder of the local stack's state: `CHANCERY_HOME`, else `.chancery` where the command runs."""
    return Path(os.environ.get("CHANCERY_HOME", ".chancery")).resolve()


def load_settings() -> Settings:
    """Settings of this process, or a SettingsError whose text says which variable to change."""
    files: tuple[Path, ...] = ()
    if os.environ.get("CHANCERY_MODE", "development") != "production":
        files = (home() / "local.env", home() / "secrets.env")
    try:
        return Settings(_env_file=files)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "CHANCERY_" + ".".join(str(part) for part in problem["loc"]).upper()
        if problem["type"] == "missing":
            lines.append(
                f"{name} is not set: 32 random bytes in base64url. For development, `make up` generates it."
            )
        elif problem["loc"]:
            lines.append(f"{name}: {problem['msg']}")
        else:
            lines.append(problem["msg"].removeprefix("Value error, "))
    return "\n".join(lines)
