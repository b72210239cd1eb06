"""The promise to subscribers, as a comparison: what an old consumer could rely on, it can rely on for ever.

Consumers ignore fields that they do not know and accept values that they do not know. So a version of an event
may gain fields and known values. Everything else breaks somebody, and needs a new version of the type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_DESCRIBING = frozenset(
    {"title", "description", "examples", "properties", "required", "items", "$id", "$schema"}
)
"""Words that promise nothing themselves, or that have a rule of their own here."""


def breaks(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """What a consumer of the old schemas cannot rely on any more, a sentence each. Schemas by type."""
    return [
        sentence for name, schema in old.items() for sentence in _type_breaks(name, schema, new.get(name))
    ]


def _type_breaks(name: str, old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield f"{name} is not published any more"
        return
    if old.get("$id") != new.get("$id"):
        yield f"{name} has another $id"
    yield from _breaks(name, old, new)


def _breaks(place: str, old: Schema, new: Schema) -> Iterator[str]:
    for word in sorted({*old, *new} - _DESCRIBING):
        if old.get(word) != new.get(word):
            yield f"{place}: {word} was {old.get(word)} and is {new.get(word)}"
    if _is_set_of_values(old):
        for value in old["examples"]:
            if value not in new.get("examples", ()):
                yield f"{place}: the value {value} is not known any more"
    fields, fields_now = old.get("properties", {}), new.get("properties", {})
    for name in fields:
        if name not in fields_now:
            yield f"{place}.{name} is gone"
        else:
            yield from _breaks(f"{place}.{name}", fields[name], fields_now[name])
    for name in old.get("required", ()):
        if name in fields_now and name not in new.get("required", ()):
            yield f"{place}.{name} may be absent now"
    if "items" in old:
        yield from _breaks(f"{place}[]", old["items"], new.get("items", {}))


def _is_set_of_values(schema: Schema) -> bool:
    """Whether its examples are all the values that are known, as `known_values` makes it."""
    return "More values may come." in schema.get("description", "")
