"""Documents about the public feed: none is stale, each is valid by its own standard, and they refuse to break."""

from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from events.public import catalogue
from events.public.__main__ import CHECKOUT, answer, write_documents
from events.public.asyncapi import asyncapi_document, render_yaml
from events.public.catalogue import PUBLIC_EVENTS, dataschema_of, published_schema
from events.public.documents import PUBLISHED as PUBLISHED_FOLDER
from events.public.documents import SCHEMAS, documents, render_json
from events.public.envelope import HEADERS, OPTIONAL_HEADERS
from events.public.mapping import PUBLISHED, to_public
from tests.unit.test_events import example

ASYNCAPI_SCHEMA = Path(__file__).parent.parent / "golden" / "asyncapi" / "3.1.0.json"


@pytest.mark.parametrize("path", documents(), ids=str)
def test_no_document_is_stale(path: Path) -> None:
    """If this fails: `python -m events.public`."""
    assert (CHECKOUT / path).read_text() == documents()[path]


@pytest.mark.parametrize("folder", [SCHEMAS, PUBLISHED_FOLDER], ids=str)
def test_there_is_no_schema_without_a_type(folder: Path) -> None:
    assert {path.name for path in (CHECKOUT / folder).iterdir()} == {f"{name}.json" for name in PUBLIC_EVENTS}


@pytest.mark.parametrize("name", PUBLIC_EVENTS)
def test_a_schema_is_valid_and_describes_every_field(name: str) -> None:
    schema = published_schema(PUBLIC_EVENTS[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == dataschema_of(name)
    assert all(field["description"] for field in schema["properties"].values())
    assert PUBLIC_EVENTS[name].subject_field in schema["required"]


@pytest.mark.parametrize("fact", PUBLISHED, ids=lambda cls: str(cls.type))
def test_what_is_published_matches_its_schema_and_a_lame_one_does_not(fact: type) -> None:
    event = to_public("account-aaid", example(fact))
    assert event is not None
    validator = jsonschema.Draft202012Validator(published_schema(type(event)))
    data = msgspec.json.decode(catalogue.encode(event))
    validator.validate(data)
    validator.validate({**data, "a_later_field": 1})
    for name in data:
        assert not validator.is_valid({**data, name: 1})
        without = {other: value for other, value in data.items() if other != name}
        assert validator.is_valid(without) == (name not in published_schema(type(event))["required"])


def test_the_asyncapi_document_is_valid_asyncapi_and_an_invalid_one_is_seen() -> None:
    document = yaml.safe_load((CHECKOUT / "docs/reference/asyncapi.yaml").read_text())
    schema = msgspec.json.decode(ASYNCAPI_SCHEMA.read_bytes())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({**document, "asyncapi": "2.6.0"})
    message = document["components"]["messages"]["chancery.session.started.v1"]
    message["payload"] = "not a schema"
    assert not validator.is_valid(document)


def test_the_asyncapi_document_holds_every_type_and_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load((CHECKOUT / "docs/reference/asyncapi.yaml").read_text())
    assert document == asyncapi_document()
    assert set(document["channels"]["public"]["messages"]) == set(PUBLIC_EVENTS)
    for reference in _references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place
    headers = document["components"]["schemas"]["headers"]
    assert set(headers["properties"]) - set(headers["required"]) == OPTIONAL_HEADERS
    assert set(HEADERS) - set(headers["properties"]) == {"chancery_head"}


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        inner = [reference for one in value.values() for reference in _references(one)]
        return [value["$ref"], *inner] if isinstance(value.get("$ref"), str) else inner
    return [reference for one in value for reference in _references(one)] if isinstance(value, list) else []


def test_yaml_says_what_was_meant() -> None:
    value = {
        "no": ["yes", "on", "1.0", "a: b", "# c", "- d", "", " e", 'f"g', "h\n", "äö"],
        "$ref": {"number": 3, "none": None, "true": True, "empty": {}, "none of them": []},
        "list": [{"a": 1, "b": [2, 3]}, "plain-word_x"],
        "text": "two\nlines\n",
    }
    assert yaml.safe_load(render_yaml(value)) == value


def test_writing_again_changes_nothing_and_a_break_writes_nothing(tmp_path: Path) -> None:
    assert answer(write_documents(tmp_path)) is None
    assert {path: (tmp_path / path).read_text() for path in documents()} == dict(documents())
    published = tmp_path / PUBLISHED_FOLDER / "chancery.account.locked.v1.json"
    before = msgspec.json.decode(published.read_bytes())
    before["properties"]["reason"] = {"type": "string"}
    published.write_text(render_json(before))
    broken = write_documents(tmp_path)
    assert broken == ["chancery.account.locked.v1.reason is gone"]
    assert answer(broken) == f"This breaks subscribers; publish a new version instead:\n{broken[0]}"
    assert published.read_text() == render_json(before)
