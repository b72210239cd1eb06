"""Every setting of every process, read once at start from `CHANCERY_…` variables; those of limits in `limit_settings.py`.

In development the local stack writes `<home>/local.env` and `<home>/secrets.env`; real variables win over
both. In production neither file is read, and secrets made for development refuse to start.
"""

import base64
import binascii
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv import dotenv_values
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
from pydantic_settings import NoDecode, SettingsConfigDict

from runtime.factor_settings import FactorSettings
from runtime.kafka_access import KafkaAccess, SaslMechanism
from runtime.known_variables import unknown_variables
from runtime.limit_settings import LimitSettings
from runtime.serving.client_address import Network, parse_networks

DEVELOPMENT_MARK = "dev_"
"""Generated development secrets begin with this, so that production can recognise and refuse them."""

SECRET_BYTES = 32
NetworksSetting = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(parse_networks)]


class SettingsError(Exception):
    """The configuration does not let this process start."""


class Settings(FactorSettings, LimitSettings):
    """What stands below a field is its row in `docs/reference/configuration.md`."""

    model_config = SettingsConfigDict(
        env_prefix="CHANCERY_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    mode: Literal["development", "production"] = "development"
    """`production` reads no file and refuses secrets that were generated for development."""
    log_format: Literal["console", "json"] = "console"
    """How log lines are written; `json` is for machines."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less grave than this is not logged."""

    kafka_bootstrap: str = "127.0.0.1:29092"
    """Brokers, `host:port`, separated by commas; one that answers is enough to find the others."""
    kafka_tls: Literal["on", "off"] = "off"
    """Whether connections to brokers are encrypted, and brokers prove who they are. See [Kafka with TLS, users and rights](../how-to/secure-kafka.md)."""
    kafka_tls_authority: str = ""
    """File (PEM) of the authority that brokers' certificates are from; empty: those that the system trusts."""
    kafka_tls_certificate: str = ""
    """File (PEM) that proves this process to brokers which want that (mutual TLS)."""
    kafka_tls_key: str = ""
    """File (PEM) of its private key."""
    kafka_sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    """How the next two are shown to brokers."""
    kafka_username: str = ""
    """For brokers that want one; only with TLS. Each process can have its own, with [the rights that it needs](../reference/kafka-rights.md)."""
    kafka_password: SecretStr = SecretStr("")
    """Belongs to `CHANCERY_KAFKA_USERNAME`."""
    events_topic: str = "chancery.events"
    """The topic of the private log."""
    keys_topic: str = "chancery.keys"
    """The topic of wrapped data keys."""
    public_topic: str = "chancery.public"
    """The topic of [the public feed](../explanation/public-feed.md)."""
    partitions: int = Field(default=8, ge=1, le=1024)
    """Partitions of all three topics; fixed when the log is made."""
    replication_factor: int = Field(default=1, ge=1)
    """Copies of every record of all three topics, used by `chancery provision`."""
    postgres_dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:25432/postgres")
    """PostgreSQL: read models and the write model."""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:26380/0")
    """Redis or Valkey, one node: sessions, revocations, counters of rates."""
    smtp_host: str = "127.0.0.1"
    """The server that takes outgoing mail."""
    smtp_port: int = 21025
    """Port of that server."""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    """How mail is encrypted on its way: `tls` from the first byte on; the local stack sets `none`. See [sending mail](../how-to/send-mail.md)."""
    smtp_tls_authority: str = ""
    """File (PEM) of the authority that the server's certificate is from; empty: those that the system trusts."""
    smtp_username: str = ""
    """For mail servers that want one; only with TLS."""
    smtp_password: SecretStr = SecretStr("")
    """Belongs to `CHANCERY_SMTP_USERNAME`."""
    mail_from: str = "Chancery <no-reply@chancery.localhost>"
    """Sender of every mail."""

    bind_host: str = "127.0.0.1"
    """Address that every process listens on."""
    command_port: int = 8081
    """Port of the Command API."""
    query_port: int = 8082
    """Port of the Query API."""
    grpc_port: int = 8083
    """Port of [token checks over gRPC](grpc.md), in the query process."""
    query_ports: Literal["own", "shared"] = "own"
    """`shared`: [several query processes](../explanation/token-checks.md#several-processes) listen on the same two ports."""
    query_own_port: int = Field(default=0, ge=0, le=65535)
    """A further port for this query process alone, so that its health and metrics can be told from others'; 0 for none."""
    projectors_port: int = 8084
    """Port of health and metrics of the projectors."""
    mailer_port: int = 8085
    """Port of health and metrics of the mailer."""
    relay_port: int = 8086
    """Port of health and metrics of the relay."""
    risk_port: int = 8087
    """Port of health and metrics of the risk worker."""
    trusted_proxies: NetworksSetting = ()
    """Networks of the proxies that clients come through, separated by commas; only they say in `X-Forwarded-For` [who a client is](limits.md#what-one-client-is)."""
    command_url: str = "http://127.0.0.1:8081"
    """Public URL of the Command API, in metadata."""
    query_url: str = "http://127.0.0.1:8082"
    """Public URL of the Query API, in metadata."""
    system_url: str = ""
    """Where our own workers reach the Command API with [their commands](system-commands.md); empty: `CHANCERY_COMMAND_URL`."""
    forwarding: Literal["on", "off"] = "on"
    """`on`: a command process hands a call on to the one that its partition prefers, see [forwarding](../explanation/forwarding.md)."""
    internal_host: str = "127.0.0.1"
    """Address that a command process listens on for handed-on calls."""
    internal_port: int = Field(default=0, ge=0, le=65535)
    """Port of that; 0: any that is free."""
    internal_url: str = ""
    """Where this command process takes handed-on calls; empty: in development the address that it listens on, in production no forwarding."""
    internal_tls_certificate: str = ""
    """File (PEM) that proves this process to the others, in both directions."""
    internal_tls_key: str = ""
    """File (PEM) of its private key."""
    internal_tls_authority: str = ""
    """File (PEM) of the authority that all of them are from; with these three, and only then, the URL is `https://`."""
    issuer: str = "http://127.0.0.1:8082"
    """`iss` of every token."""
    audience: str = "chancery"
    """`aud` of people's tokens."""
    person_scope: str = "openid profile email"
    """`scope` of people's tokens."""

    secret_key: SecretStr
    """32 random bytes, base64url: names addresses, derives codes and refresh tokens; can never change while the log lives."""
    key_encryption_key_file: str = ""
    """A file with the keys that wrap data keys, one a line, the current one first; if it is set, the next two variables are not read."""
    key_encryption_keys_before: SecretStr = SecretStr("")
    """Keys that wrapped data keys before, separated by commas: they still open ([rotation](../how-to/rotate-the-key-encryption-key.md))."""
    key_encryption_key: SecretStr = Field(default=SecretStr(""), validate_default=True)
    """32 random bytes, base64url: wraps the data keys; not needed where there is a file of keys."""

    signup: Literal["verify", "open"] = "verify"
    """Whether an address must be proven before there is an account (`verify`) or not (`open`)."""
    code_seconds: int = Field(default=900, ge=60)
    """Life of a mailed code."""
    token_cache_entries: int = Field(default=200_000, ge=0)
    """Access tokens that one query process keeps whose signature held, about 2 kB each; 0 checks every signature again."""
    access_token_seconds: int = Field(default=300, ge=30, le=3600)
    """Life of an access token."""
    signing_algorithm: Literal["ES256", "EdDSA", "RS256"] = "ES256"
    """Algorithm of the next key that is made (`EdDSA` is Ed25519, `RS256` has 2048 bits): a change takes effect at the next rotation."""
    signing_key_lead_seconds: int = Field(default=2, ge=1, le=86_400)
    """A new key is published so long before it signs. The key set may be cached for what this leaves after `CHANCERY_COMMAND_DEADLINE_SECONDS` and after the age of what is known here, so 2 means: not at all. 300 suits machines that cache. The same in both processes."""
    refresh_idle_seconds: int = Field(default=14 * 86_400, ge=60)
    """An unused session ends after this."""
    refresh_absolute_seconds: int = Field(default=90 * 86_400, ge=60)
    """Every session ends after this."""
    refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    """The preceding refresh token gets the same successor within this."""
    risk_group: str = "chancery.risk"
    """Consumer group of the [risk worker](risk.md), and how the names of its own topics begin."""
    risk_window_seconds: int = Field(default=3600, ge=1, le=86_400)
    """Length of the windows that the risk worker counts in; a new length forgets what was counted."""
    risk_failures: int = Field(default=15, ge=1, le=1000)
    """Refused passwords and wrong codes of second factors of one account in a window, of which its owner is told."""
    risk_refresh_reuses: int = Field(default=3, ge=1, le=1000)
    """Refresh tokens of one account used twice in a window, after which every session needs a new sign-in."""
    risk_unfamiliar_sign_ins: int = Field(default=5, ge=1, le=1000)
    """Sign-ins of one account from an unfamiliar device or network in a window, after which every session needs a new sign-in."""
    risk_accounts_of_source: int = Field(default=20, ge=1, le=1000)
    """Accounts for which one network fails in a window, after which sessions that it starts are flagged."""
    email_undo_seconds: int = Field(default=7 * 86_400, ge=60)
    """An e-mail change can be undone, and its old address stays held, for so long."""
    close_grace_days: int = Field(default=30, ge=0)
    """A closed account is erased after so many days."""
    password_hash_threads: int = Field(default=2, ge=1)
    """Argon2id threads of one command process."""
    password_hash_queue: int = Field(default=64, ge=1)
    """Passwords that may wait; one more is a 503."""
    stream_cache_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Memory for folded streams of one command process, by estimate; more are read from `write_model`."""
    start_seconds: float = Field(default=30.0, ge=0)
    """So long the command process waits at its start for stores that do not answer."""
    leave_seconds: float = Field(default=0.0, ge=0, le=300)
    """So long after SIGTERM a command or query process still answers, while `/health/ready` says that it leaves: as long as
    whatever sends it requests takes to notice. See [rolling restarts](../how-to/restart.md)."""
    command_deadline_seconds: float = Field(default=2.0, gt=0)
    """A command is answered within this, or the answer is 503."""
    revocation_stale_seconds: float = Field(default=5.0, gt=0)
    """Older knowledge of revocations is not believed."""
    projection_lag_seconds: float = Field(default=10.0, gt=0)
    """A read model that is longer behind the log is `behind`, and fails the projectors' readiness."""
    changed_read_models: Literal["offer", "in-place"] = "offer"
    """What projectors do about a read model that was made from another definition: say how it is [rebuilt](../how-to/change-a-read-model.md), or, with `in-place`, build it anew at once while reads of it at a position answer 503; the local stack does the latter."""

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
    def _has_a_way_to_brokers(self) -> Self:
        self.kafka.checked()
        own = f"{self.risk_group}-"
        if any(name.startswith(own) for name in (self.events_topic, self.keys_topic, self.public_topic)):
            raise ValueError(f"CHANCERY_RISK_GROUP: topics that begin with {own} are the risk worker's own")
        return self

    @property
    def kafka(self) -> KafkaAccess:
        return KafkaAccess(
            self.kafka_bootstrap,
            is_encrypted=self.kafka_tls == "on",
            authority=self.kafka_tls_authority,
            certificate=self.kafka_tls_certificate,
            key=self.kafka_tls_key,
            mechanism=self.kafka_sasl_mechanism,
            username=self.kafka_username,
            password=self.kafka_password,
        )

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
    wrong = _unknown(files)
    try:
        settings = Settings(_env_file=files)
    except ValidationError as error:
        wrong.append(_sentence(error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings


def refuse_unknown_variables() -> None:
    """SettingsError if this process was given variables that nobody reads: for what starts others."""
    if wrong := _unknown(()):
        raise SettingsError("\n".join(wrong))


def _unknown(files: Iterable[Path]) -> list[str]:
    """A sentence for each name that nobody reads, in variables and in the local stack's files."""
    given: dict[str, str | None] = {}
    for path in files:
        if path.is_file():
            given |= dotenv_values(path)
    return unknown_variables({**given, **os.environ}, Settings.model_fields)


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
