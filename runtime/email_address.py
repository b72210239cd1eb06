"""The form in which e-mail addresses are compared: written once for whoever stores, names or looks for one."""

import unicodedata

import email_validator
import idna

MAX_EMAIL_CHARACTERS = 254


def canonical_email(text: str) -> str | None:
    """NFKC and case-fold of the local part, UTS 46 A-label form of the domain; a fixpoint. None if it is no address."""
    try:
        checked = _validated(text)
        local = _folded(checked.local_part)
        domain = idna.encode(checked.domain, uts46=True).decode().lower()
        if f"{local}@{domain}" != text:
            _validated(f"{local}@{domain}")
    except (email_validator.EmailNotValidError, idna.IDNAError, UnicodeError):
        return None
    return f"{local}@{domain}"


def _validated(text: str) -> email_validator.ValidatedEmail:
    """Holds for the canonical form too: what folds to something that is no address is none either."""
    if len(text) > MAX_EMAIL_CHARACTERS or "=?" in text:
        raise email_validator.EmailNotValidError
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
