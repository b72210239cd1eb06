"""Values that are parsed once and trusted afterwards: e-mail addresses, passwords, display names, scopes."""

import unicodedata
from dataclasses import dataclass
from typing import Self

import email_validator
import idna

from domain.common_passwords import COMMON_PASSWORDS
from domain.refusals import (
    InvalidDisplayName,
    InvalidEmail,
    InvalidScope,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
)

MAX_EMAIL_CHARACTERS = 254
MIN_PASSWORD_CHARACTERS = 15
MAX_PASSWORD_CHARACTERS = 256
MAX_DISPLAY_NAME_CHARACTERS = 100
MAX_SCOPE_CHARACTERS = 1000
_SCOPE_ALPHABET = frozenset(chr(code) for code in range(0x21, 0x7F)) - {'"', "\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailAddress:
    """An address as its owner wrote it (`stored`: where mail goes) and as it is compared (`canonical`).

    Canonical: NFKC and case-fold of the local part, UTS 46 A-label form of the domain; a fixpoint.
    """

    stored: str
    canonical: str

    @classmethod
    def parse(cls, text: str) -> Self:
        try:
            checked = _validated(text)
            local = _folded(checked.local_part)
            domain = idna.encode(checked.domain, uts46=True).decode().lower()
            _validated(f"{local}@{domain}")
        except (email_validator.EmailNotValidError, idna.IDNAError, UnicodeError):
            raise InvalidEmail from None
        return cls(stored=text, canonical=f"{local}@{domain}")


def _validated(text: str) -> email_validator.ValidatedEmail:
    """Holds for the canonical form too: what folds to something that is no address is none either."""
    if len(text) > MAX_EMAIL_CHARACTERS or "=?" in text:
        raise InvalidEmail
    return email_validator.validate_email(
        text,
        check_deliverability=False,
        strict=True,
        allow_quoted_local=False,
        allow_domain_literal=False,
        test_environment=True,
    )


def _folded(local: str) -> str:
    """NFKC and case-fold until nothing changes, because each may undo the other once."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", local).casefold())
    return folded if folded == local else _folded(folded)


def parse_password(text: str) -> str:
    """A new password in NFC, 15 to 256 characters of any kind; the refusal says what is wrong with it."""
    password = normalise_password(text)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise PasswordTooShort
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise PasswordTooLong
    if password.casefold() in COMMON_PASSWORDS or len(set(password)) == 1:
        raise PasswordTooCommon
    return password


def normalise_password(text: str) -> str:
    """The form of a password that is hashed and compared."""
    return unicodedata.normalize("NFC", text)


def parse_display_name(text: str) -> str:
    name = unicodedata.normalize("NFC", text).strip()
    has_control = any(unicodedata.category(character).startswith("C") for character in name)
    if not name or len(name) > MAX_DISPLAY_NAME_CHARACTERS or has_control:
        raise InvalidDisplayName
    return name


def parse_scope(text: str) -> tuple[str, ...]:
    """The scope tokens of RFC 6749 section 3.3, each once, in the order given."""
    tokens = tuple(dict.fromkeys(text.split(" ")))
    if len(text) > MAX_SCOPE_CHARACTERS or not all(
        token and set(token) <= _SCOPE_ALPHABET for token in tokens
    ):
        raise InvalidScope
    return tokens
