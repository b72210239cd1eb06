"""Cursors: where a page ended, what the walk shows, and its filters; opaque to clients and signed.

Law: nothing in a cursor is believed unless we wrote it for the same walk, so a cursor can neither be made up nor
be carried from one list, account or filter to another.
"""

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from readmodels.audit import AuditFilter, Horizon, Place
from runtime.encoding import base64url, parse_base64url
from runtime.keys import keyed_digest

MOST_CHARACTERS = 32 * 1024
"""Far more than 1024 partitions need."""
_MAC_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The next page comes after `after`. No page of the walk goes beyond the horizon that its first page had."""

    after: Place
    horizon: Horizon
    wanted: AuditFilter


def render_cursor(key: bytes, walk: str, cursor: Cursor) -> str:
    """`walk` names the list that the cursor is good for."""
    after, wanted = cursor.after, cursor.wanted
    content = [
        *(_microseconds(after.at), after.partition, after.seq, after.number),
        *(wanted.account_id, wanted.type, _microseconds(wanted.since), _microseconds(wanted.until)),
        *cursor.horizon,
    ]
    payload = json.dumps(content, separators=(",", ":")).encode()
    return base64url(_mac(key, walk, payload) + payload)


def parse_cursor(key: bytes, walk: str, text: str) -> Cursor | None:
    """What the cursor says, None unless it was made with `key` for this walk."""
    raw = parse_base64url(text) if len(text) <= MOST_CHARACTERS and text.isascii() else None
    if raw is None:
        return None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, walk, payload)):
        return None
    at, partition, seq, number, account_id, type_, since, until, *horizon = json.loads(payload)
    return Cursor(
        after=Place(at=_moment(at), partition=partition, seq=seq, number=number),
        horizon=tuple(horizon),
        wanted=AuditFilter(account_id=account_id, type=type_, since=_moment(since), until=_moment(until)),
    )


def _mac(key: bytes, walk: str, payload: bytes) -> bytes:
    return keyed_digest(key, walk.encode(), payload)[:_MAC_BYTES]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
