"""Every document that is made from the public types: which file holds it, and what must be in there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from events.public.asyncapi import asyncapi_document, render_yaml
from events.public.catalogue import PUBLIC_EVENTS, published_schema
from events.public.page import catalogue_page

SCHEMAS = Path("events/public/schemas")
PUBLISHED = Path("tests/golden/public")
"""What was published once. `compatibility.py` compares with it, so only `python -m events.public` changes it."""


def documents() -> Mapping[Path, str]:
    """The text of each file, by its path in the checkout."""
    schemas = {name: render_json(published_schema(cls)) for name, cls in PUBLIC_EVENTS.items()}
    return {
        **{
            folder / f"{name}.json": text for folder in (SCHEMAS, PUBLISHED) for name, text in schemas.items()
        },
        Path("docs/reference/asyncapi.yaml"): _GENERATED + render_yaml(asyncapi_document()),
        Path("docs/reference/public-events.md"): catalogue_page(),
    }


def load_published(checkout: Path) -> dict[str, Any]:
    """The schemas that subscribers were given, by type."""
    return {
        path.name.removesuffix(".json"): msgspec.json.decode(path.read_bytes())
        for path in sorted((checkout / PUBLISHED).glob("*.json"))
    }


def render_json(value: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


_GENERATED = "# Written by `python -m events.public` from the types in events/public/.\n"
