"""What the risk worker understands of the public feed. Everything else passes by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from events.public.catalogue import PUBLIC_EVENTS
from events.public.session import RefreshReused, SessionStarted, SignInFailed

GUESSES = frozenset({"wrong-password", "wrong-totp", "wrong-recovery-code", "locked"})
"""Causes of a refused sign-in that mean: somebody tries passwords or codes."""

_TYPES: dict[str, type[SignInFailed | SessionStarted | RefreshReused]] = {
    cls.type: cls for cls in (SignInFailed, SessionStarted, RefreshReused)
}
assert set(_TYPES) <= set(PUBLIC_EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """`position` names the event for ever, so that it can be told from its own repetition."""

    event: SignInFailed | SessionStarted | RefreshReused
    at: datetime
    position: str


class UnreadableEventError(Exception):
    """The public topic holds an event of ours that does not have its documented shape."""


def time_of(headers: Mapping[str, bytes]) -> datetime | None:
    """When it happened. None for a record that is none of the relay's."""
    try:
        return datetime.fromisoformat(headers["ce_time"].decode())
    except (KeyError, ValueError):
        return None


def read_signal(headers: Mapping[str, bytes], value: bytes | None) -> Signal | None:
    cls = _TYPES.get(headers.get("ce_type", b"").decode(errors="replace"))
    at, name = time_of(headers), headers.get("ce_id", b"").decode(errors="replace")
    if cls is None or at is None or not name:
        return None
    try:
        event = msgspec.json.decode(value or b"", type=cls)
    except msgspec.MsgspecError as error:
        raise UnreadableEventError(f"{name}: {type(error).__name__}") from None
    return Signal(event=event, at=at, position=name)


def headers_of(pairs: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> Mapping[str, bytes]:
    return dict(pairs or ())
