"""Facts to and from wire form. A catalogue of every type and revision; decoding never loses an old one."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from events import account, client, email_change, errand, factors, idempotency, identifier, risk, signing_keys
from events.fact import Event

_MODULES = (account, factors, email_change, identifier, errand, client, signing_keys, idempotency, risk)

CATALOGUE: Mapping[tuple[str, int], type[Event]] = {
    (cls.type, cls.rev): cls
    for module in _MODULES
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
}
"""Every known fact by wire name and revision."""


_TYPE_NAME = re.compile(r"[a-z_.]{1,64}")


class UnknownEventError(Exception):
    """The log holds an event type or revision that this version of Chancery does not know."""


class MalformedEventError(Exception):
    """The log holds an event whose data does not have the shape of its type."""


class WireEvent(msgspec.Struct, frozen=True, kw_only=True):
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
        raise UnknownEventError(unknown(wire.type, wire.rev))
    try:
        return msgspec.convert({**wire.data, **(wire.personal or {})}, cls)
    except msgspec.ValidationError as error:
        raise MalformedEventError(f"{wire.type} rev {wire.rev}: {without_values(error)}") from None


def unknown(event_type: str, rev: int) -> str:
    """That there is no such event. What has not the form of a type's name may be anything, and is not repeated."""
    name = event_type if _TYPE_NAME.fullmatch(event_type) else "whose type has no such form,"
    return f"unknown event {name} rev {rev}"


def without_values(error: Exception) -> str:
    """What is wrong and where, without the value itself: it may be personal."""
    wrong, at, path = str(error).rpartition(" - at ")
    return re.sub(r"^(Invalid .*?value) .*", r"\1", wrong or path, flags=re.DOTALL) + (
        at + path if wrong else ""
    )
