"""Settings of second factors. What stands below a field is its row in `docs/reference/configuration.md`."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ORIGIN = re.compile(
    r"https://[a-z0-9-]+(\.[a-z0-9-]+)*(?!:443$)(:[1-9]\d{0,4})?"
    r"|http://([a-z0-9-]+\.)*localhost(?!:80$)(:[1-9]\d{0,4})?"
    r"|android:apk-key-hash:[A-Za-z0-9_-]{43}"
)
"""As browsers and Android write it: without the port that the scheme means anyway. Without TLS they offer passkeys only
to pages on the same machine."""


class FactorSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CHANCERY_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    second_factor_seconds: int = Field(default=300, ge=1, le=3600)
    """How long a sign-in waits for its second factor."""
    recent_sign_in_seconds: int = Field(default=900, ge=1)
    """A session that began longer ago must not add factors, nor take a passkey away; the person signs in again."""
    totp_enrolment_seconds: int = Field(default=900, ge=1, le=86_400)
    """How long a new secret for an authenticator app waits for its first code."""
    totp_issuer: str = Field(default="Chancery", min_length=1, max_length=64, pattern=r"^[^:]+$")
    """What authenticator apps show above the codes, and browsers when a passkey is made: the name of your service."""
    passkey_seconds: int = Field(default=300, ge=1, le=3600)
    """How long options for a passkey are good, to register one or to sign in."""
    passkey_rp_id: str = Field(default="localhost", max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")
    """The domain that passkeys belong to (WebAuthn: relying party id). They are lost if it changes. See [passkeys](../how-to/passkeys.md)."""
    passkey_origins: str = ""
    """Where pages may use passkeys from, separated by commas, such as `https://id.example.com`, each at the domain of `CHANCERY_PASSKEY_RP_ID` or below it; empty: `http://localhost` with the port of the Command API."""

    @field_validator("passkey_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in parse_origins(value):
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{origin!r} is no origin: give scheme, host and port as a browser does, in small letters, "
                    "without a path and without the scheme's own port, such as https://id.example.com"
                )
        return value

    @model_validator(mode="after")
    def _has_origins_of_its_domain(self) -> Self:
        """Browsers refuse others, so that nobody's passkey would work there."""
        given = parse_origins(self.passkey_origins)
        for origin in given or ("http://localhost",):
            host = urlsplit(origin).hostname
            if host is None or f".{host}".endswith(f".{self.passkey_rp_id}"):
                continue
            said = origin if given else f"empty, which means {origin}"
            raise ValueError(
                f"CHANCERY_PASSKEY_ORIGINS and CHANCERY_PASSKEY_RP_ID do not fit: the former is {said}, and browsers use "
                f"passkeys of the latter, {self.passkey_rp_id}, only at that domain and below it"
            )
        return self


def parse_origins(text: str) -> tuple[str, ...]:
    return tuple(origin for part in text.split(",") if (origin := part.strip()))
