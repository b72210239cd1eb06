"""Challenges that passkeys sign: made here, good for one purpose and until a time, and stored nowhere.

One is an id (16 bytes), its end in seconds since 1970 (8) and a 128-bit MAC of both, the purpose, and whoever it is
bound to. That it was used is for the log to say. A sign-in that waits for its second factor has one that follows from
the sign-in's own id, and ends with it.
"""

import hmac
import math
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from runtime.encoding import base32
from runtime.keys import keyed_digest

Purpose = Literal["register", "sign-in"]
_ID_BYTES = 16
_NAMED_BYTES = _ID_BYTES + 8
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyChallenge:
    challenge_id: str
    expires_at: datetime


def new_challenge(key: bytes, purpose: Purpose, expires_at: datetime, *bound: str) -> bytes:
    """Good until `expires_at`, rounded up to a second, for those that it is bound to, such as an account."""
    end = math.ceil(expires_at.timestamp()).to_bytes(_NAMED_BYTES - _ID_BYTES, "big")
    named = secrets.token_bytes(_ID_BYTES) + end
    return named + _mac(key, purpose, named, bound)


def parse_challenge(key: bytes, purpose: Purpose, raw: bytes, *bound: str) -> PasskeyChallenge | None:
    """What the challenge names, None unless it was made with `key` for just this; it may have ended."""
    named, mac = raw[:_NAMED_BYTES], raw[_NAMED_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, purpose, named, bound)):
        return None
    expires_at = datetime.fromtimestamp(int.from_bytes(named[_ID_BYTES:], "big"), UTC)
    return PasskeyChallenge(challenge_id=base32(named[:_ID_BYTES]), expires_at=expires_at)


def second_step_challenge(key: bytes, challenge_id: str) -> bytes:
    """What a passkey signs to answer the sign-in's challenge with this id."""
    return keyed_digest(key, b"second step", challenge_id.encode())


def _mac(key: bytes, purpose: Purpose, named: bytes, bound: tuple[str, ...]) -> bytes:
    return keyed_digest(key, purpose.encode(), named, *(one.encode() for one in bound))[:_MAC_BYTES]
