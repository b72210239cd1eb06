"""The language of facts: golden files for every type and revision, stream names, bad wire data."""

from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from events import streams
from events.account import PasswordChanged, PasswordReset, SessionStarted, SignInFailed
from events.codec import (
    CATALOGUE,
    MalformedEventError,
    UnknownEventError,
    WireEvent,
    decode,
    encode,
    unknown,
    without_values,
)
from events.fact import Event

GOLDEN = Path(__file__).parent.parent / "golden"
_EXAMPLES: dict[str, Any] = {
    "int": 2,
    "bool": True,
    "datetime": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
    "tuple": ("one", "two"),
    "pairs": (("crv", "P-256"), ("kty", "EC")),
}

ADDED_LATER: dict[type[Event], dict[str, Any]] = {
    SessionStarted: {"source": None, "unfamiliar": ()},
    SignInFailed: {"source": None},
    PasswordChanged: {"is_short": False},
    PasswordReset: {"is_short": False},
}
"""Fields that facts got when some were in logs already, with what those read."""


def example(cls: type[Event]) -> Event:
    """A value of every field, made from the field's type."""
    hints = get_type_hints(cls)
    return cls(**{field.name: _value(hints[field.name], field.name) for field in fields(cls)})  # type: ignore[arg-type]  # every fact is a dataclass


def _value(hint: Any, name: str) -> Any:
    text = str(hint)
    if "tuple[typing.Literal" in text:
        return (hint.__args__[0].__args__[0],)
    if "Literal" in text:
        return hint.__args__[0]
    if "tuple[tuple" in text:
        return _EXAMPLES["pairs"]
    for kind in ("tuple", "datetime"):
        if kind in text:
            return _EXAMPLES[kind]
    if hint in (int, bool):
        return _EXAMPLES[hint.__name__]
    return f"an example of {name}"


@pytest.mark.parametrize(("key", "cls"), sorted(CATALOGUE.items()), ids=str)
def test_every_fact_reads_its_golden_file_for_ever(key: tuple[str, int], cls: type[Event]) -> None:
    wire = msgspec.json.decode((GOLDEN / f"{key[0]}.{key[1]}.json").read_bytes(), type=WireEvent)
    assert decode(wire) == example(cls)


def test_there_is_no_golden_file_without_a_fact() -> None:
    named = {tuple(path.name.removesuffix(".json").rsplit(".", 1)) for path in GOLDEN.glob("*.json")}
    assert named == {(name, str(rev)) for name, rev in CATALOGUE}


@pytest.mark.parametrize("cls", CATALOGUE.values(), ids=str)
def test_decoding_what_was_encoded_gives_the_same_fact(cls: type[Event]) -> None:
    assert decode(encode(example(cls))) == example(cls)


@pytest.mark.parametrize("cls", CATALOGUE.values(), ids=str)
def test_personal_fields_are_apart_and_may_be_erased(cls: type[Event]) -> None:
    wire = encode(example(cls))
    assert not set(wire.data) & set(cls.personal_fields)
    assert set(wire.personal or {}) == set(cls.personal_fields)
    erased = decode(WireEvent(type=wire.type, rev=wire.rev, data=wire.data, personal=None))
    assert all(getattr(erased, name) is None for name in cls.personal_fields)


def test_fields_that_are_personal_or_came_later_have_a_default_and_others_have_none() -> None:
    for cls in CATALOGUE.values():
        later = ADDED_LATER.get(cls, {})
        for field in fields(cls):  # type: ignore[arg-type]  # every fact is a dataclass
            assert (field.default is MISSING) == (field.name not in {*cls.personal_fields, *later})


@pytest.mark.parametrize("cls", ADDED_LATER, ids=str)
def test_a_fact_from_before_a_field_was_added_reads_with_its_default(cls: type[Event]) -> None:
    path = GOLDEN / "before" / f"{cls.type}.{cls.rev}.json"
    wire = msgspec.json.decode(path.read_bytes(), type=WireEvent)
    assert decode(wire) == replace(example(cls), **ADDED_LATER[cls])  # type: ignore[type-var]  # every fact is a dataclass


def test_there_is_no_file_of_before_without_such_a_fact() -> None:
    names = {path.name for path in (GOLDEN / "before").glob("*.json")}
    assert names == {f"{cls.type}.{cls.rev}.json" for cls in ADDED_LATER}


def test_an_unknown_type_or_revision_is_an_error() -> None:
    with pytest.raises(UnknownEventError):
        decode(WireEvent(type="session.started", rev=99, data={}, personal=None))


def test_data_of_another_shape_is_an_error() -> None:
    with pytest.raises(MalformedEventError):
        decode(WireEvent(type=SessionStarted.type, rev=1, data={"session_id": 3}, personal=None))


def test_what_is_unreadable_is_named_and_not_repeated() -> None:
    enum = msgspec.ValidationError("Invalid enum value 'Ada - at `$.x`' - at `$.actor.kind`")
    assert without_values(enum) == "Invalid enum value - at `$.actor.kind`"
    assert without_values(msgspec.DecodeError("Input data was truncated")) == "Input data was truncated"
    assert unknown("session.x", 2) == "unknown event session.x rev 2"
    for text in ("Ada", "a" * 65, ""):
        assert unknown(text, 1) == "unknown event whose type has no such form, rev 1"


def test_an_account_id_carries_its_slot() -> None:
    for slot in (0, 1, 31, 32, 1023):
        name = streams.account_stream(streams.new_id(slot))
        assert streams.slot_of(name) == slot
        assert streams.slot_of("answer-" + streams.slot_prefix(slot) + "x") == slot
        assert streams.partition_of(name, 8) == slot % 8


def test_ids_have_one_form() -> None:
    made = streams.new_id()
    assert streams.is_id(made)
    assert not any(
        streams.is_id(text) for text in ("", made[:-1], made.upper(), made[:-1] + "-", made[:-1] + "1")
    )


def test_every_stream_has_a_category_and_a_slot() -> None:
    assert streams.category_of("account-abc") == "account"
    assert streams.category_of(streams.SIGNING_KEYS) == streams.SIGNING_KEYS
    assert streams.slot_of(streams.SIGNING_KEYS) == 0
    assert streams.category_of(streams.client_stream("x")) == "client"
    assert streams.category_of(streams.identifier_stream(bytes(32))) == "identifier"
    for bad in ("account", "account-", "account-a", "account-A1"):
        with pytest.raises(ValueError, match=r"."):
            streams.slot_of(bad)
