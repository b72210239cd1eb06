"""Codes that are mailed: never stored, always derived again from the id of their challenge."""

import hmac

from runtime.keys import keyed_digest

CODE_DIGITS = 8


def verification_code(code_key: bytes, challenge_id: str) -> str:
    """The 8 digits that prove the address of this challenge."""
    digest = keyed_digest(code_key, b"verify-email", challenge_id.encode())
    return f"{int.from_bytes(digest, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def is_code(text: str) -> bool:
    return len(text) == CODE_DIGITS and text.isascii() and text.isdigit()


def matches_code(code_key: bytes, challenge_id: str, code: str) -> bool:
    """Whether `code` is the one of this challenge, in the same time whatever the answer."""
    return hmac.compare_digest(verification_code(code_key, challenge_id).encode(), code.encode())
