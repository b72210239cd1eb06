"""Time-based one-time passwords: 6 digits, SHA-1, steps of 30 seconds (RFC 6238), as authenticator apps expect them."""

import hmac
from datetime import datetime

import pyotp
import segno

STEP_SECONDS = 30
DIGITS = 6
STEPS = (1, 0, -1)
"""Those that are accepted around now: for clocks that go wrong by up to half a minute, and for slow fingers."""
_SECRET_CHARACTERS = 32
"""160 bits in base32 (RFC 4226 section 4, R6)."""


def new_secret() -> str:
    return pyotp.random_base32(_SECRET_CHARACTERS)


def step_at(at: datetime) -> int:
    return int(at.timestamp()) // STEP_SECONDS


def code_at(secret: str, step: int) -> str:
    return pyotp.TOTP(secret).generate_otp(step)


def matching_step(secret: str, code: str, at: datetime) -> int | None:
    """The newest step around `at` whose code this is. Every step costs the same, whatever the answer."""
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    now = step_at(at)
    matching = [
        now + step
        for step in STEPS
        if hmac.compare_digest(code_at(secret, now + step).encode(), code.encode())
    ]
    return max(matching, default=None)


def otpauth_uri(secret: str, *, account: str, issuer: str) -> str:
    """What an authenticator app reads from a picture: the secret, and the names that it shows."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def qr_svg(uri: str) -> str:
    """The picture, an SVG element of its own that needs no file and no script."""
    svg: str = segno.make(uri, error="m", micro=False).svg_inline(scale=4, border=2)
    return svg
