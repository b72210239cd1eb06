"""The gRPC schema is the one that was promised, and the code that is made from it is its own."""

import json
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor

from query_api.rpc import token_service_pb2 as pb
from tests.support.proto import MADE, RPC, generate

GOLDEN = Path(__file__).parents[1] / "golden" / "rpc" / "chancery.v1.json"


def promised_by(schema: FileDescriptor) -> dict[str, str]:
    """What clients rely on: each field's number and kind, each method's shape."""
    found = {}
    for name, message in schema.message_types_by_name.items():
        for field in message.fields:
            found[f"{name}.{field.name}"] = f"{field.number} {_kind(field)}"
    for name, service in schema.services_by_name.items():
        for method in service.methods:
            answer = ("stream " if method.server_streaming else "") + method.output_type.name
            found[f"{name}/{method.name}"] = f"{method.input_type.name} -> {answer}"
    return found


def _kind(field: FieldDescriptor) -> str:
    many = "repeated " if field.is_repeated else ""
    return many + (field.message_type.name if field.message_type else str(field.type))


def broken(promised: dict[str, str], found: dict[str, str]) -> list[str]:
    """Promises that are not kept. What was added breaks nobody."""
    lost = [
        f"{name}: {kept} became {found.get(name)}"
        for name, kept in promised.items()
        if found.get(name) != kept
    ]
    numbers = {
        (name.partition(".")[0], kept.partition(" ")[0]): name
        for name, kept in promised.items()
        if "." in name
    }
    taken = [
        f"{name} takes the number of {numbers[name.partition('.')[0], kind.partition(' ')[0]]}"
        for name, kind in found.items()
        if numbers.get((name.partition(".")[0], kind.partition(" ")[0]), name) != name
    ]
    return lost + taken


def test_no_promise_of_the_schema_is_broken() -> None:
    """A new field is added to the golden file; one that is there stays as it is."""
    promised, found = json.loads(GOLDEN.read_text()), promised_by(pb.DESCRIPTOR)
    assert broken(promised, found) == []
    assert set(found) == set(promised), "add what is new to the golden file"


def test_the_gate_sees_what_would_break_a_client() -> None:
    promised = promised_by(pb.DESCRIPTOR)
    changes = (
        {"ValidateResponse.sub": "14 9"},
        {"ValidateResponse.exp": "6 9"},
        {"ValidateResponse.aud": "9 9"},
        {"TokenService/WatchRevocations": "WatchRevocationsRequest -> Revocation"},
    )
    assert all(broken(promised, {**promised, **change}) for change in changes)
    assert broken(promised, {name: kind for name, kind in promised.items() if name != "Revocation.kid"})
    assert broken(
        {name: kind for name, kind in promised.items() if name != "Revocation.kid"},
        {**promised, "Revocation.kid": "5 9"},
    )
    assert broken(promised, {**promised, "Revocation.more": "11 9"}) == []


def test_what_is_made_from_it_is_up_to_date(tmp_path: Path) -> None:
    """If not: `python -m tests.support.proto`."""
    generate(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in MADE} == {
        name: (RPC / name).read_text() for name in MADE
    }
