"""Facts to and from wire form. A catalogue of every type and revision; decoding never loses an old one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from events import account, client, email_change, errand, idempotency, identifier, risk, signing_keys
from events.fact import Event

_MODULES = (account, email_change, identifier, errand, client, signing_keys, idempotency, risk)

CATALOGUE: Mapping[tuple[str, int], type[Event]] = {
    (cls.type, cls.rev): cls
    for module in _MODULES
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
}
"""Every known fact by wire name and revision."""


class UnknownEventError(Exception):
    """The log holds an event type or revision that this version of Chancery does not know."""


class MalformedEventError(Exception):
    """The log holds an event whose data does not have the shape of its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEvent:
    """`data` is readable by everyone who may read the log; `personal` is to be sealed, None if empty."""

    type: str
    rev: int
    data: dict[str, Any]
    personal: dict[str, Any] | None


def encode(event: Event) -> WireEvent:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    kept = {name: fields.pop(name) for name in event.personal_fields}
    sealed = {name: value for name, value in kept.items() if value is not None}
    return WireEvent(type=event.type, rev=event.rev, data=fields, personal=sealed or None)


def decode(wire: WireEvent) -> Event:
    """The fact that `wire` states. Personal fields that are absent (erased) read as None."""
    cls = CATALOGUE.get((wire.type, wire.rev))
    if cls is None:
        raise UnknownEventError(f"unknown event {wire.type} rev {wire.rev}")
    try:
        return msgspec.convert({**wire.data, **(wire.personal or {})}, cls)
    except msgspec.ValidationError as error:
        raise MalformedEventError(f"{wire.type} rev {wire.rev}: {error}") from None
