"""Every public event there is, and the JSON Schema of each: what all documents about the feed are made from."""

from collections.abc import Mapping
from typing import Any

import msgspec

from events.public import account, client, factor, session, signing_key
from events.public.event import PublicEvent

DIALECT = "https://json-schema.org/draft/2020-12/schema"

PUBLIC_EVENTS: Mapping[str, type[PublicEvent]] = {
    cls.type: cls
    for module in (account, session, factor, client, signing_key)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, PublicEvent) and cls is not PublicEvent
}
"""By type."""

_ENCODER = msgspec.json.Encoder()


def encode(event: PublicEvent) -> bytes:
    """The data of an event, as UTF-8 JSON."""
    return _ENCODER.encode(event)


def dataschema_of(event_type: str) -> str:
    """The name of the type's JSON Schema. It is a name, not an address: the schemas come with the source."""
    return f"urn:chancery:schema:{event_type.removeprefix('chancery.')}"


def data_schema(cls: type[PublicEvent]) -> dict[str, Any]:
    """What the data of this type looks like. Unknown fields are allowed, because later ones may come."""
    _, components = msgspec.json.schema_components([cls])
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(components[cls.__name__]))
    return {**plain, "title": cls.type}


def published_schema(cls: type[PublicEvent]) -> dict[str, Any]:
    """The same as a JSON Schema document of its own."""
    return {"$schema": DIALECT, "$id": dataschema_of(cls.type), **data_schema(cls)}
