"""Codes of authenticator apps and recovery codes: RFC 6238's own vectors, the window, what is derived and how it is spelt."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.recovery_codes import matching_number, recovery_code
from runtime.totp import STEP_SECONDS, code_at, matching_step, new_secret, otpauth_uri, qr_svg, step_at

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238 appendix B: "12345678901234567890"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STEP = timedelta(seconds=STEP_SECONDS)
KEY = bytes(32)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert code_at(SECRET, step_at(at)) == code
    assert matching_step(SECRET, code, at) == seconds // STEP_SECONDS


def test_abuse_e2_only_the_step_before_now_and_after_are_accepted() -> None:
    now = step_at(NOON)
    accepted = {
        offset: matching_step(SECRET, code_at(SECRET, now + offset), NOON) for offset in range(-10, 11)
    }
    assert {offset: step for offset, step in accepted.items() if step is not None} == {
        -1: now - 1,
        0: now,
        1: now + 1,
    }
    assert matching_step(SECRET, code_at(SECRET, now), NOON + STEP - timedelta(microseconds=1)) == now


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12345a", " 12345", "１２３４５６", "-12345", "0x1234"]
)
def test_what_has_not_the_form_of_a_code_is_none(code: str) -> None:
    assert matching_step(SECRET, code, NOON) is None


def test_secrets_are_160_bits_and_each_another() -> None:
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(secret) for secret in made} == {32}


def test_the_picture_is_one_svg_element_without_scripts_and_links() -> None:
    uri = otpauth_uri(SECRET, account="Ada <b>@example.com", issuer="A & B")
    assert parse_qs(urlsplit(uri).query) == {"secret": [SECRET], "issuer": ["A & B"]}
    svg = qr_svg(uri)
    assert svg.startswith("<svg ")
    assert not [word for word in ("<script", "href", "<!", "Ada") if word in svg]


def test_recovery_codes_follow_from_key_set_and_number_and_from_nothing_else() -> None:
    codes = {
        recovery_code(key, set_id, number)
        for key in (KEY, bytes([1]) * 32)
        for set_id in ("r1", "r2")
        for number in range(10)
    }
    assert len(codes) == 40
    assert recovery_code(KEY, "r1", 0) == recovery_code(KEY, "r1", 0)
    assert {tuple(map(len, code.split("-"))) for code in codes} == {(4, 4, 4)}


@pytest.mark.parametrize(
    "spell", [str.lower, str.upper, lambda code: code.replace("-", " "), lambda c: f" {c} "]
)
def test_a_recovery_code_is_found_however_it_is_spelt(spell: object) -> None:
    assert callable(spell)
    assert matching_number(KEY, "r1", range(10), spell(recovery_code(KEY, "r1", 7))) == 7


@pytest.mark.parametrize("code", ["", "-", "aaaa-aaaa-aaaa", "ünïcödé", "a" * 64])
def test_what_is_no_recovery_code_of_the_set_is_none(code: str) -> None:
    assert matching_number(KEY, "r1", range(10), code) is None
    used = recovery_code(KEY, "r1", 3)
    assert matching_number(KEY, "r1", [0, 1, 2], used) is None
    assert matching_number(KEY, "r2", range(10), used) is None
