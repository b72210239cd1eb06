"""Settings of second factors. What stands below a field is its row in `docs/reference/configuration.md`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    """What authenticator apps show above the codes: the name of your service."""
    passkey_seconds: int = Field(default=300, ge=1, le=3600)
    """How long options for a passkey are good, to register one or to sign in."""
    passkey_rp_id: str = "localhost"
    """The domain that passkeys belong to (WebAuthn: relying party id). They are lost if it changes."""
    passkey_origins: str = ""
    """Where pages may use passkeys from, separated by commas, such as `https://id.example.com`; empty: `http://localhost` with the port of the Command API."""
