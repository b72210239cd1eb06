"""Text forms of bytes, each with exactly one spelling: base64url without padding (RFC 4648 section 5), base32."""

import base64
import binascii


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parse_base64url(text: str) -> bytes | None:
    """The bytes of `text`, None unless it is their one canonical spelling."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64url(raw) == text else None


def base32(raw: bytes) -> str:
    """Lower case, without padding: the form of every id."""
    return base64.b32encode(raw).decode().rstrip("=").lower()


def parse_base32(text: str) -> bytes | None:
    """The bytes of `text`, None unless it is their one canonical spelling."""
    try:
        raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    return raw if base32(raw) == text else None
