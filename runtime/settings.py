"""Every setting of every process, read once at start from `CHANCERY_…` variables.

In development the local stack writes `<home>/local.env` and `<home>/secrets.env`; real variables win over
both. In production neither file is read, and secrets made for development refuse to start.
"""

import base64
import binascii
import os
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_MARK = "dev_"
"""Generated development secrets begin with this, so that production can recognise and refuse them."""

SECRET_BYTES = 32


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
    partitions: int = Field(default=8, ge=1, le=1024)
    replication_factor: int = Field(default=1, ge=1)
    postgres_dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:25432/postgres")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:26380/0")
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 21025
    mail_from: str = "Chancery <no-reply@chancery.localhost>"

    bind_host: str = "127.0.0.1"
    command_port: int = 8081
    query_port: int = 8082
    projectors_port: int = 8084
    mailer_port: int = 8085
    command_url: str = "http://127.0.0.1:8081"
    query_url: str = "http://127.0.0.1:8082"
    issuer: str = "http://127.0.0.1:8082"
    audience: str = "chancery"
    person_scope: str = "openid profile email"

    secret_key: SecretStr
    key_encryption_key: SecretStr

    signup: Literal["verify", "open"] = "verify"
    code_seconds: int = Field(default=900, ge=60)
    access_token_seconds: int = Field(default=300, ge=30, le=3600)
    refresh_idle_seconds: int = Field(default=14 * 86_400, ge=60)
    refresh_absolute_seconds: int = Field(default=90 * 86_400, ge=60)
    refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    limit_sign_in_failures: int = Field(default=10, ge=1)
    limit_lock_out_seconds: int = Field(default=900, ge=1)
    limit_code_failures: int = Field(default=10, ge=1)
    limit_pending_registrations: int = Field(default=5, ge=1)
    password_hash_threads: int = Field(default=2, ge=1)
    password_hash_queue: int = Field(default=64, ge=1)
    command_deadline_seconds: float = Field(default=2.0, gt=0)
    revocation_stale_seconds: float = Field(default=5.0, gt=0)

    @field_validator("secret_key", "key_encryption_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        secret_bytes(value)
        return value

    @model_validator(mode="after")
    def _refuses_development_secrets_in_production(self) -> Self:
        secrets = {"SECRET_KEY": self.secret_key, "KEY_ENCRYPTION_KEY": self.key_encryption_key}
        for name, value in secrets.items():
            if self.mode == "production" and value.get_secret_value().startswith(DEVELOPMENT_MARK):
                raise ValueError(
                    f"CHANCERY_{name} was generated for development; give production its own: "
                    "32 random bytes, base64url",
                )
        return self

    @property
    def code_lifetime(self) -> timedelta:
        return timedelta(seconds=self.code_seconds)


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
