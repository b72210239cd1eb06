"""Refresh tokens and session ids: both say where they belong and prove that they were made here.

A refresh token is `crt_` and base64url of account (16 bytes), session (16), generation (4) and a 256-bit MAC
of these. Nothing of it is stored: the next one can always be derived, and only with the server's key.
"""

import hmac
import secrets
from dataclasses import dataclass

from runtime.encoding import base32, base64url, parse_base32, parse_base64url
from runtime.keys import keyed_digest

_PREFIX = "crt_"
_ID_BYTES = 16
_GENERATION_BYTES = 4
_MAC_BYTES = 32
_NAMED_BYTES = 2 * _ID_BYTES + _GENERATION_BYTES
_RANDOM_BYTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    account_id: str
    session_id: str
    generation: int


def render_refresh_token(key: bytes, token: RefreshToken) -> str:
    account, session = parse_base32(token.account_id), parse_base32(token.session_id)
    assert account is not None
    assert session is not None
    named = account + session + token.generation.to_bytes(_GENERATION_BYTES, "big")
    return _PREFIX + base64url(named + keyed_digest(key, named))


def parse_refresh_token(key: bytes, text: str) -> RefreshToken | None:
    """What the token names, None unless it is exactly one that was made with `key`."""
    raw = parse_base64url(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else None
    if raw is None or len(raw) != _NAMED_BYTES + _MAC_BYTES:
        return None
    named, mac = raw[:_NAMED_BYTES], raw[_NAMED_BYTES:]
    if not hmac.compare_digest(mac, keyed_digest(key, named)):
        return None
    return RefreshToken(
        account_id=base32(named[:_ID_BYTES]),
        session_id=base32(named[_ID_BYTES : 2 * _ID_BYTES]),
        generation=int.from_bytes(named[2 * _ID_BYTES :], "big"),
    )


def new_session_id(key: bytes, account_id: str) -> str:
    """A fresh id that only this account's sessions can have."""
    random = secrets.token_bytes(_RANDOM_BYTES)
    return base32(random + _owner_tag(key, account_id, random))


def is_own_session_id(key: bytes, account_id: str, session_id: str) -> bool:
    """Whether this id was ever made for a session of this account, ended or not."""
    raw = parse_base32(session_id)
    if raw is None or len(raw) != _ID_BYTES:
        return False
    random, tag = raw[:_RANDOM_BYTES], raw[_RANDOM_BYTES:]
    return hmac.compare_digest(tag, _owner_tag(key, account_id, random))


def _owner_tag(key: bytes, account_id: str, random: bytes) -> bytes:
    return keyed_digest(key, account_id.encode(), random)[: _ID_BYTES - _RANDOM_BYTES]
