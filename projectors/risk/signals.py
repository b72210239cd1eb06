"""What the risk worker understands of the public feed. Everything else passes by, and what it should have understood is told.

A record that cannot be counted is passed over: one account's count is one short then. To stop there would blind the
worker for all accounts, for as long as the record lies in the topic, and nobody could repair it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from events.public.catalogue import PUBLIC_EVENTS
from events.public.session import RefreshReused, SessionStarted, SignInFailed

T = TypeVar("T")
GUESSES = frozenset({"wrong-password", "wrong-totp", "wrong-recovery-code", "locked"})
"""Causes of a refused sign-in that mean: somebody tries passwords or codes."""
MOST_CHARACTERS = 200
"""Of an id or a network's name. Tables and topics of our own hold them."""
Flaw = Literal["foreign", "unknown-type", "unreadable", "misplaced", "ahead"]
"""`foreign`: without the headers of an event. `misplaced`: under another key, or in another partition, than it says.
`ahead`: of a time that is far from here yet."""

_TYPES: dict[str, type[SignInFailed | SessionStarted | RefreshReused]] = {
    cls.type: cls for cls in (SignInFailed, SessionStarted, RefreshReused)
}
assert set(_TYPES) <= set(PUBLIC_EVENTS)
_ID = re.compile(r"(\d{1,4}):\d{1,15}:\d{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A record of the public topic as it lies there."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """`position` names the event for ever, so that it can be told from its own repetition."""

    event: SignInFailed | SessionStarted | RefreshReused
    at: datetime
    position: str


class FlawedError(Exception):
    """A record that cannot be counted. It says what is wrong with it, and nothing of what it holds."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.flaw: Flaw = flaw


def time_of(headers: Mapping[str, bytes]) -> datetime | None:
    """When it happened. None for a record that is none of the relay's."""
    try:
        at = datetime.fromisoformat(headers["ce_time"].decode())
    except (KeyError, ValueError):
        return None
    return None if at.tzinfo is None else at


def read_signal(told: Told) -> Signal | None:
    """None for an event that means nothing here. FlawedError for what is no event, or none that can be counted."""
    names = {name: told.headers.get(name, b"").decode(errors="replace") for name in ("ce_type", "ce_id")}
    if not all(names.values()):
        raise FlawedError("foreign")
    if names["ce_type"] not in PUBLIC_EVENTS:
        raise FlawedError("unknown-type")
    cls = _TYPES.get(names["ce_type"])
    if cls is None:
        return None
    at, place = time_of(told.headers), _ID.fullmatch(names["ce_id"])
    if at is None or place is None:
        raise FlawedError("unreadable")
    event = read_json(told.value, cls)
    if int(place[1]) != told.partition or told.key != event.account_id.encode():
        raise FlawedError("misplaced")
    require_bounded(*_texts(event))
    return Signal(event=event, at=at, position=names["ce_id"])


def read_json(value: bytes | None, cls: type[T]) -> T:
    """FlawedError for anything else."""
    try:
        return msgspec.json.decode(value or b"", type=cls)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise FlawedError("unreadable") from None


def require_bounded(*texts: str) -> None:
    """FlawedError for what tables and commands have no room for."""
    if any(len(text) > MOST_CHARACTERS for text in texts):
        raise FlawedError("unreadable")


def headers_of(pairs: Iterable[tuple[str, bytes | None]] | Mapping[str, bytes] | None) -> Mapping[str, bytes]:
    """One without a value is empty."""
    return {name: value or b"" for name, value in dict(pairs or ()).items()}


def _texts(event: SignInFailed | SessionStarted | RefreshReused) -> tuple[str, ...]:
    """What goes into tables and commands."""
    match event:
        case SignInFailed():
            return (event.account_id, event.source)
        case SessionStarted():
            return (event.account_id, event.session_id, event.source)
        case RefreshReused():
            return (event.account_id, event.session_id)
