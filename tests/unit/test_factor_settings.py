"""Settings of second factors: which domain passkeys belong to, and where they may be used."""

import pytest
from pydantic import ValidationError

from runtime.factor_settings import FactorSettings

ANDROID = "android:apk-key-hash:" + "a" * 43


def refusal(rp_id: str, origins: str) -> str:
    with pytest.raises(ValidationError) as refused:
        FactorSettings(passkey_rp_id=rp_id, passkey_origins=origins)
    (problem,) = refused.value.errors()
    return ".".join(str(part) for part in problem["loc"]) + problem["msg"].removeprefix("Value error")


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("localhost", ""),
        ("localhost", "http://localhost"),
        ("localhost", "http://app.localhost:3000, http://localhost:443, https://localhost:80"),
        ("example.com", "https://example.com"),
        ("example.com", "https://id.example.com:8443, https://a.b.example.com"),
        ("id.example.com", "https://id.example.com"),
        ("example.com", ANDROID),
        ("example.com", f"{ANDROID},https://example.com:4430"),
    ],
)
def test_origins_of_passkeys_are_as_browsers_write_them(rp_id: str, origins: str) -> None:
    assert FactorSettings(passkey_rp_id=rp_id, passkey_origins=origins).passkey_origins == origins


@pytest.mark.parametrize(
    "origin",
    [
        "https://id.example.com/",
        "id.example.com",
        "http://id.example.com",
        "https://ID.example.com",
        "*",
        "null",
        "http://127.0.0.1",
        "https://id.example.com:443",
        "http://localhost:80",
        "https://id.example.com:0443",
        "https://id.example.com:0",
        "https://id.example.com:",
    ],
)
def test_what_is_no_origin_stops_the_process(origin: str) -> None:
    """A browser would never report it, so that nobody's passkey would work, and nobody knew why."""
    assert refusal("example.com", f"https://good.example.com,{origin}").startswith(
        f"passkey_origins, {origin!r} is no origin"
    )


@pytest.mark.parametrize(
    ("rp_id", "origin"),
    [
        ("example.com", "https://example.org"),
        ("example.com", "https://badexample.com"),
        ("example.com", "https://example.com.evil.example"),
        ("id.example.com", "https://example.com"),
        ("example.com", "http://localhost:3000"),
        ("localhost", "https://id.example.com"),
    ],
)
def test_an_origin_outside_of_the_domain_stops_the_process(rp_id: str, origin: str) -> None:
    good = f"https://{rp_id}:8443"
    assert refusal(rp_id, f"{good},{origin}") == (
        f", CHANCERY_PASSKEY_ORIGINS and CHANCERY_PASSKEY_RP_ID do not fit: the former is {origin}, and browsers use "
        f"passkeys of the latter, {rp_id}, only at that domain and below it"
    )


def test_a_domain_without_origins_stops_the_process() -> None:
    assert "the former is empty, which means http://localhost, and" in refusal("example.com", "")


@pytest.mark.parametrize(
    "rp_id", ["https://example.com", "example.com:443", "Example.com", ".example.com", ""]
)
def test_a_relying_party_id_is_a_domain(rp_id: str) -> None:
    assert refusal(rp_id, "").startswith("passkey_rp_id")
