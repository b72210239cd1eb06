"""The keys that `CHANCERY_SECRET_KEY` stands for, one for each purpose (HKDF-SHA-256, RFC 5869)."""

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedKeys:
    pepper: bytes = field(repr=False)
    """Names e-mail addresses in the log. It can never change while a log lives."""
    code_key: bytes = field(repr=False)
    refresh_key: bytes = field(repr=False)
    session_key: bytes = field(repr=False)
    request_key: bytes = field(repr=False)
    undo_key: bytes = field(repr=False)
    channel_key: bytes = field(repr=False)
    cursor_key: bytes = field(repr=False)
    mailbox_key: bytes = field(repr=False)
    source_key: bytes = field(repr=False)
    """Names networks, anew every day, for those who may know no address."""
    limit_key: bytes = field(repr=False)
    """Names what rate limits count, so that the store of their counters holds no address."""
    system_key: bytes = field(repr=False)
    """Signs the commands of our own workers."""
    challenge_key: bytes = field(repr=False)
    """Signs which sign-in a second factor is for."""
    recovery_key: bytes = field(repr=False)
    passkey_key: bytes = field(repr=False)
    """Signs the challenges that passkeys answer."""


def derive_keys(secret: bytes) -> DerivedKeys:
    return DerivedKeys(
        pepper=_derive(secret, "identifier pepper"),
        code_key=_derive(secret, "verification codes"),
        refresh_key=_derive(secret, "refresh tokens"),
        session_key=_derive(secret, "session ids"),
        request_key=_derive(secret, "idempotent requests"),
        undo_key=_derive(secret, "undoing e-mail changes"),
        channel_key=_derive(secret, "requests between processes"),
        cursor_key=_derive(secret, "cursors of pages"),
        mailbox_key=_derive(secret, "mailboxes that mails went to"),
        source_key=_derive(secret, "names of networks"),
        limit_key=_derive(secret, "what rate limits count"),
        system_key=_derive(secret, "commands of our own workers"),
        challenge_key=_derive(secret, "sign-ins that wait for a second factor"),
        recovery_key=_derive(secret, "recovery codes"),
        passkey_key=_derive(secret, "challenges of passkeys"),
    )


def keyed_digest(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 over parts that cannot be confused with one another: each is preceded by its length."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(key, message, hashlib.sha256).digest()


def address_digest(pepper: bytes, canonical: str) -> bytes:
    """What an e-mail address is called in the log, so that the log leaks none. `canonical` is its compared form."""
    return keyed_digest(pepper, canonical.encode())


def _derive(secret: bytes, purpose: str) -> bytes:
    info = f"chancery/v1/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(secret)
