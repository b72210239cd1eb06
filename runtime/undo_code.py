"""The code that undoes an e-mail change: it says which account and which change, and proves that it was made here.

It is `cuc_` and base64url of account (16 bytes), change (16) and a 128-bit MAC of these. Nothing of it is
stored, and it opens nothing by itself: whether the change can still be undone is decided on the log.
"""

import hmac
from dataclasses import dataclass

from runtime.encoding import base32, base64url, parse_base32, parse_base64url
from runtime.keys import keyed_digest

PREFIX = "cuc_"
_ID_BYTES = 16
_NAMED_BYTES = 2 * _ID_BYTES
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoCode:
    account_id: str
    change_id: str


def render_undo_code(key: bytes, code: UndoCode) -> str:
    account, change = parse_base32(code.account_id), parse_base32(code.change_id)
    assert account is not None
    assert change is not None
    return PREFIX + base64url(account + change + _mac(key, account + change))


def parse_undo_code(key: bytes, text: str) -> UndoCode | None:
    """What the code names, None unless it is exactly one that was made with `key`."""
    raw = parse_base64url(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None
    if raw is None or len(raw) != _NAMED_BYTES + _MAC_BYTES:
        return None
    named, mac = raw[:_NAMED_BYTES], raw[_NAMED_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, named)):
        return None
    return UndoCode(account_id=base32(named[:_ID_BYTES]), change_id=base32(named[_ID_BYTES:]))


def _mac(key: bytes, named: bytes) -> bytes:
    return keyed_digest(key, named)[:_MAC_BYTES]
