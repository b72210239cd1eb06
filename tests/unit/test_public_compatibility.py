"""The gate that keeps old consumers whole: green as things are, red for every kind of change that would break one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from events.public.__main__ import CHECKOUT
from events.public.catalogue import PUBLIC_EVENTS, published_schema
from events.public.compatibility import breaks
from events.public.documents import load_published

STARTED = "chancery.session.started.v1"
Schemas = dict[str, Any]
Change = Callable[[Schemas], object]


def current() -> Schemas:
    return copy.deepcopy({name: published_schema(cls) for name, cls in PUBLIC_EVENTS.items()})


def fields(schemas: Schemas) -> Any:
    return schemas[STARTED]["properties"]


def test_nothing_that_was_published_is_broken() -> None:
    published = load_published(CHECKOUT)
    assert published
    assert breaks(published, current()) == []


BREAKING: list[tuple[Change, str]] = [
    (lambda s: s.pop(STARTED), f"{STARTED} is not published any more"),
    (lambda s: s[STARTED].update({"$id": "other"}), f"{STARTED} has another $id"),
    (lambda s: fields(s).pop("acr"), f"{STARTED}.acr is gone"),
    (lambda s: s[STARTED]["required"].remove("acr"), f"{STARTED}.acr may be absent now"),
    (lambda s: fields(s)["acr"].update(type="integer"), f"{STARTED}.acr: type was string and is integer"),
    (
        lambda s: fields(s)["acr"].update(type=["string", "null"]),
        f"{STARTED}.acr: type was string and is ['string', 'null']",
    ),
    (
        lambda s: fields(s).update(acr={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        f"{STARTED}.acr: type was string and is None",
    ),
    (
        lambda s: fields(s)["acr"]["examples"].remove("aal2"),
        f"{STARTED}.acr: the value aal2 is not known any more",
    ),
    (lambda s: fields(s)["acr"].update(enum=["aal1"]), f"{STARTED}.acr: enum was None and is ['aal1']"),
    (lambda s: fields(s)["acr"].update(maxLength=2), f"{STARTED}.acr: maxLength was None and is 2"),
    (
        lambda s: fields(s)["expires_at"].pop("format"),
        f"{STARTED}.expires_at: format was date-time and is None",
    ),
    (
        lambda s: fields(s)["amr"]["items"].update(type="integer"),
        f"{STARTED}.amr[]: type was string and is integer",
    ),
    (
        lambda s: s[STARTED].update(additionalProperties=False),
        f"{STARTED}: additionalProperties was None and is False",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BREAKING, ids=[sentence for _, sentence in BREAKING])
def test_a_change_that_breaks_an_old_consumer_is_seen(change: Change, sentence: str) -> None:
    changed = current()
    change(changed)
    assert sentence in breaks(load_published(CHECKOUT), changed)


def test_a_field_that_is_renamed_is_seen() -> None:
    changed = current()
    fields(changed)["level"] = fields(changed).pop("acr")
    assert breaks(load_published(CHECKOUT), changed) == [f"{STARTED}.acr is gone"]


HARMLESS: list[Change] = [
    lambda s: s.update({"chancery.session.started.v2": {"type": "object"}}),
    lambda s: fields(s).update(device={"type": "string"}),
    lambda s: (fields(s).update(device={"type": "string"}), s[STARTED]["required"].append("device")),
    lambda s: fields(s)["acr"]["examples"].append("aal3"),
    lambda s: fields(s)["acr"].update(description="Said better. More values may come."),
    lambda s: s[STARTED].update(description="Said better."),
]


@pytest.mark.parametrize("change", HARMLESS)
def test_a_change_that_breaks_nobody_passes(change: Change) -> None:
    changed = current()
    change(changed)
    assert breaks(load_published(CHECKOUT), changed) == []
