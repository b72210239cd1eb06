"""Values that are parsed once and trusted afterwards: passwords, names, scopes, audiences."""

import unicodedata
from collections.abc import Sequence

from domain.common_passwords import COMMON_PASSWORDS
from domain.refusals import (
    InvalidClientAudiences,
    InvalidClientName,
    InvalidClientScopes,
    InvalidDisplayName,
    InvalidScope,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
)

MIN_PASSWORD_CHARACTERS = 15
MIN_PASSWORD_CHARACTERS_BESIDE_FACTOR = 8
"""NIST SP 800-63B-4 section 3.1.1.2. Whether there is a second factor is the account's to say."""
MAX_PASSWORD_CHARACTERS = 256
MAX_DISPLAY_NAME_CHARACTERS = 100
MAX_SCOPE_CHARACTERS = 1000
MAX_AUDIENCE_CHARACTERS = 1000
"""Of all together. With as many scopes a token still stays far below its 8 KiB."""
_VISIBLE = frozenset(chr(code) for code in range(0x21, 0x7F))
_SCOPE_ALPHABET = _VISIBLE - {'"', "\\"}


def parse_password(text: str, *, minimum: int = MIN_PASSWORD_CHARACTERS) -> str:
    """A new password in NFC, up to 256 characters of any kind; the refusal says what is wrong with it."""
    password = normalise_password(text)
    if len(password) < minimum:
        raise PasswordTooShort
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise PasswordTooLong
    if password.casefold() in COMMON_PASSWORDS or len(set(password)) == 1:
        raise PasswordTooCommon
    return password


def is_short(password: str) -> bool:
    """Whether a parsed password is too short for an account without a second factor."""
    return len(password) < MIN_PASSWORD_CHARACTERS


def normalise_password(text: str) -> str:
    """The form of a password that is hashed and compared."""
    return unicodedata.normalize("NFC", text)


def parse_display_name(text: str) -> str:
    name = _parse_name(text)
    if name is None:
        raise InvalidDisplayName
    return name


def parse_client_name(text: str) -> str:
    """By the same rule as a person's display name."""
    name = _parse_name(text)
    if name is None:
        raise InvalidClientName
    return name


def parse_client_scopes(texts: Sequence[str]) -> tuple[str, ...]:
    """What a client may ask for: each a scope token, each once, in the order given."""
    tokens = tuple(dict.fromkeys(texts))
    is_short = len(" ".join(tokens)) <= MAX_SCOPE_CHARACTERS
    if not tokens or not is_short or not all(token and set(token) <= _SCOPE_ALPHABET for token in tokens):
        raise InvalidClientScopes
    return tokens


def parse_audiences(texts: Sequence[str]) -> tuple[str, ...]:
    """Whom a client's tokens are for; none means the default audience."""
    audiences = tuple(dict.fromkeys(texts))
    is_short = sum(map(len, audiences)) <= MAX_AUDIENCE_CHARACTERS
    if not is_short or not all(audience and set(audience) <= _VISIBLE for audience in audiences):
        raise InvalidClientAudiences
    return audiences


def parse_scope(text: str) -> tuple[str, ...]:
    """The scope tokens of RFC 6749 section 3.3, each once, in the order given."""
    tokens = tuple(dict.fromkeys(text.split(" ")))
    if len(text) > MAX_SCOPE_CHARACTERS or not all(
        token and set(token) <= _SCOPE_ALPHABET for token in tokens
    ):
        raise InvalidScope
    return tokens


def _parse_name(text: str) -> str | None:
    name = unicodedata.normalize("NFC", text).strip()
    has_control = any(unicodedata.category(character).startswith("C") for character in name)
    return None if not name or len(name) > MAX_DISPLAY_NAME_CHARACTERS or has_control else name
