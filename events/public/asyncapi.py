"""The AsyncAPI document of the public topic, made from the catalogue."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from events.public.catalogue import PUBLIC_EVENTS, data_schema
from events.public.envelope import CONTENT_TYPE, headers_schema

ASYNCAPI_VERSION = "3.1.0"
FEED_VERSION = "1.0.0"
"""Of the feed as a whole: a new type or field raises the second number; an old version's end the first."""
KAFKA_BINDING = "0.5.0"
TOPIC = "chancery.public"

_ABOUT = """\
What happened to accounts, sessions, clients and signing keys, for other services: CloudEvents 1.0 in binary mode.
At least once, in order within a partition, without a gap. Never an e-mail address, name, IP address, hash, code or
token. Ignore fields, types and values that you do not know: more may come. See docs/explanation/public-feed.md.
"""


def asyncapi_document() -> dict[str, Any]:
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "Chancery's public feed",
            "version": FEED_VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "local": {
                "host": "127.0.0.1:29092",
                "protocol": "kafka",
                "description": "The local stack of `chancery up`.",
            }
        },
        "channels": {
            "public": {
                "address": TOPIC,
                "description": "As many partitions as the private log; an event is in the partition of its commit.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in PUBLIC_EVENTS},
                "bindings": {"kafka": {"topic": TOPIC, "bindingVersion": KAFKA_BINDING}},
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/public"},
                "summary": "The relay tells what happened.",
            }
        },
        "components": {
            "messages": {name: _message(name) for name in PUBLIC_EVENTS},
            "schemas": {
                "headers": headers_schema(),
                **{name: data_schema(cls) for name, cls in PUBLIC_EVENTS.items()},
            },
        },
    }


def _message(name: str) -> dict[str, Any]:
    cls = PUBLIC_EVENTS[name]
    return {
        "name": name,
        "summary": (cls.__doc__ or "").partition("\n")[0],
        "contentType": CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The `{cls.subject_field}`."},
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def render_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Mappings, lists and texts as YAML 1.2, in which every JSON text is a scalar too."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _entry(f"{_scalar(name)}:", inner)
    else:
        for inner in value:
            yield from _entry("-", inner)


def _entry(label: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield label
        yield from (f"  {line}" for line in _lines(value))
    elif isinstance(value, str) and value.endswith("\n"):
        yield f"{label} |"
        yield from (f"  {line}" for line in value.splitlines())
    else:
        yield f"{label} {_scalar(value)}"


def _scalar(value: Any) -> str:
    """A plain word where nothing else could be meant, else the JSON text."""
    is_plain = isinstance(value, str) and value.replace("_", "").replace("-", "").isalpha()
    return str(value) if is_plain and value.lower() not in _RESERVED else msgspec.json.encode(value).decode()


_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
