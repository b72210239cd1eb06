"""The catalogue of public events as a page, made from the same types as their schemas."""

from collections.abc import Iterator, Mapping
from typing import Any

from events.codec import CATALOGUE
from events.public.catalogue import PUBLIC_EVENTS, data_schema
from events.public.envelope import HEADERS
from events.public.event import PublicEvent
from events.public.mapping import PRIVATE

_TOP = """\
# Public events

What `chancery.public` holds. `python -m events.public` writes this page from the types in `events/public/`, as well
as their JSON Schemas (`events/public/schemas/`) and `asyncapi.yaml` beside it. What subscribers may rely on is said in
[the public feed](../explanation/public-feed.md).

## Headers
Each event is a CloudEvent 1.0 in binary mode. The record's key is `ce_subject`.

| header | what it says |
|---|---|
"""


def catalogue_page() -> str:
    return "\n".join((_TOP.rstrip("\n"), *_headers(), "", "## Events", *_events(), *_private())) + "\n"


def _headers() -> Iterator[str]:
    return (f"| `{name}` | {text} |" for name, text in HEADERS.items())


def _events() -> Iterator[str]:
    for name, cls in PUBLIC_EVENTS.items():
        yield f"### `{name}`"
        yield from _event(cls)
        yield ""


def _event(cls: type[PublicEvent]) -> Iterator[str]:
    schema = data_schema(cls)
    yield str(schema["description"])
    yield ""
    yield "| field | type | what it says |"
    yield "|---|---|---|"
    for name, field in schema["properties"].items():
        yield f"| `{name}` | {_kind(field)} | {_sentence(field)} |"


def _kind(field: Mapping[str, Any]) -> str:
    kind = f"{field['items']['type']}s" if field["type"] == "array" else str(field["type"])
    return str(field.get("format", kind))


def _sentence(field: Mapping[str, Any]) -> str:
    sentence = str(field["description"])
    known, are_open, _ = sentence.partition(" More values may come.")
    if not are_open:
        return sentence
    return f"{known} Known values: {', '.join(f'`{value}`' for value in field['examples'])}; more may come."


def _private() -> Iterator[str]:
    yield "## What is not published"
    yield "| fact | because it |"
    yield "|---|---|"
    for (name, _), cls in CATALOGUE.items():
        if cls in PRIVATE:
            yield f"| `{name}` | {PRIVATE[cls]} |"
