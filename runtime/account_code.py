"""Codes that say which account and which thing of it, and prove that they were made here.

One is a prefix and base64url of account (16 bytes), the thing's id (16) and a 128-bit MAC of these under a key of its
purpose. Nothing of it is stored, and it opens nothing by itself: what it is good for is decided on the log.
"""

import hmac
from dataclasses import dataclass

from runtime.encoding import base32, base64url, parse_base32, parse_base64url
from runtime.keys import keyed_digest

UNDO = "cuc_"
"""Undoes an e-mail change."""
CHALLENGE = "csc_"
"""A sign-in that waits for its second factor."""
_ID_BYTES = 16
_NAMED_BYTES = 2 * _ID_BYTES
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCode:
    account_id: str
    subject_id: str


def render_account_code(prefix: str, key: bytes, code: AccountCode) -> str:
    account, subject = parse_base32(code.account_id), parse_base32(code.subject_id)
    assert account is not None
    assert subject is not None
    return prefix + base64url(account + subject + _mac(key, account + subject))


def parse_account_code(prefix: str, key: bytes, text: str) -> AccountCode | None:
    """What the code names, None unless it is exactly one that was made with `key`."""
    raw = parse_base64url(text.removeprefix(prefix)) if text.startswith(prefix) else None
    if raw is None or len(raw) != _NAMED_BYTES + _MAC_BYTES:
        return None
    named, mac = raw[:_NAMED_BYTES], raw[_NAMED_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, named)):
        return None
    return AccountCode(account_id=base32(named[:_ID_BYTES]), subject_id=base32(named[_ID_BYTES:]))


def _mac(key: bytes, named: bytes) -> bytes:
    return keyed_digest(key, named)[:_MAC_BYTES]
