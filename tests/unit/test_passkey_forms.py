"""What is refused by its form alone, before any library sees it."""

import hashlib
from typing import Any

import cbor2
import pytest

from runtime.passkey_forms import (
    MAX_ATTESTATION,
    MAX_AUTHENTICATOR_DATA,
    MAX_CLIENT_DATA,
    claimed_challenge,
    is_assertion_data,
    is_offered_key,
    is_wanted_attestation,
    is_wanted_client_data,
)
from tests.support.authenticator import ATTESTED, EXTENDED, PRESENT, VERIFIED

ID = b"credential"
KEY = {1: 1, 3: -8, -1: 6, -2: b"x" * 32}
COORDINATES = {-2: b"x" * 32, -3: b"y" * 32}


def data(flags: int, rest: bytes = b"") -> bytes:
    return hashlib.sha256(b"example.com").digest() + bytes([PRESENT | VERIFIED | flags]) + bytes(4) + rest


def attested(
    *, key: bytes | None = None, flags: int = ATTESTED, tail: bytes = b"", name: bytes = ID
) -> bytes:
    cose = cbor2.dumps(KEY) if key is None else key
    return data(flags, bytes(16) + len(name).to_bytes(2, "big") + name + cose + tail)


def attestation(**members: Any) -> bytes:
    return cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": attested(), **members})


def test_what_was_asked_for_passes() -> None:
    assert is_wanted_attestation(attestation(), ID)
    own = {"alg": -8, "sig": b"s" * 64}
    assert is_wanted_attestation(attestation(fmt="packed", attStmt=own), ID)
    extended = attested(flags=ATTESTED | EXTENDED, tail=cbor2.dumps({"credProtect": 2}))
    assert is_wanted_attestation(attestation(authData=extended), ID)
    assert is_assertion_data(data(0))
    assert is_assertion_data(data(EXTENDED, cbor2.dumps({"credProtect": 2})))
    assert is_offered_key(cbor2.dumps(KEY))
    assert is_offered_key(cbor2.dumps({1: 2, 3: -7, -1: 1, **COORDINATES}))


@pytest.mark.parametrize(
    "refused",
    [
        b"",
        attestation() + b"\x00",
        attestation()[:-1],
        b"\xb8\x03" + attestation()[1:],
        b"\xbf" + attestation()[1:] + b"\xff",
        b"\xc1" + attestation(),
        attestation(fmt="packed", attStmt={"alg": -8, "sig": b"s" * MAX_ATTESTATION}),
        attestation(fmt="packed", attStmt={"alg": -8, "sig": "text"}),
        attestation(fmt="packed", attStmt={"alg": -8, "sig": b"s", "x5c": []}),
        attestation(fmt="packed", attStmt={}),
        attestation(fmt="tpm"),
        attestation(more=1),
        attestation(authData="x" * 100),
        attestation(authData=attested(flags=0)),
        attestation(authData=attested(tail=b"\x00")),
        attestation(authData=attested(flags=ATTESTED | EXTENDED)),
        attestation(authData=attested(flags=ATTESTED | EXTENDED, tail=b"\xa2\x61x\x01\x61x\x02")),
        attestation(authData=attested(flags=ATTESTED | EXTENDED, tail=b"\x61x")),
        attestation(authData=attested(flags=ATTESTED | EXTENDED, tail=cbor2.dumps({"x": b"x" * 4000}))),
        attestation(authData=attested(name=b"another")),
        attestation(authData=attested(key=cbor2.dumps(KEY)[:-1])),
        attestation(authData=attested(key=b"\x04")),
        attestation(authData=data(ATTESTED)),
    ],
)  # fmt: skip
def test_abuse_f5_another_attestation_is_refused(refused: bytes) -> None:
    assert not is_wanted_attestation(refused, ID)


@pytest.mark.parametrize(
    "refused",
    [
        b"",
        data(0)[:-1],
        data(0, b"\x00"),
        data(ATTESTED),
        attested(),
        data(EXTENDED),
        data(EXTENDED, b"\x80"),
        data(EXTENDED, b"\xa0\x00"),
        data(EXTENDED, cbor2.dumps({"x": b"x" * MAX_AUTHENTICATOR_DATA})),
    ],
)
def test_abuse_f5_other_authenticator_data_is_refused(refused: bytes) -> None:
    assert not is_assertion_data(refused)


@pytest.mark.parametrize(
    "refused",
    [
        {**KEY, -2: b"x" * 31},
        {**KEY, -2: b"x" * 33},
        {**KEY, -1: 7},
        {**KEY, 3: -7},
        {**KEY, -4: b"d"},
        {1: 2, 3: -7, -1: 2, **COORDINATES},
        {1: 2, 3: -7, -1: 1, **COORDINATES, -3: b"y" * 31},
        {1: 2, 3: -7, -1: 1, **COORDINATES, -3: True},
        {1: 2, 3: -8, -1: 1, **COORDINATES},
        {1: 3, 3: -257, -1: b"n" * 255, -2: b"\x01\x00\x01"},
        {1: 3, 3: -257, -1: b"n" * 513, -2: b"\x01\x00\x01"},
        {1: 3, 3: -257, -1: b"n" * 256, -2: b"\x00\x01\x00\x01"},
        {1: 3, 3: -37, -1: b"n" * 256, -2: b"\x01\x00\x01"},
        [KEY],
        {},
    ],
)
def test_abuse_f3_another_key_is_refused(refused: Any) -> None:
    assert not is_offered_key(cbor2.dumps(refused))


def test_client_data_has_one_challenge_and_a_bound() -> None:
    good = b'{"type":"webauthn.get","challenge":"AQI","origin":"https://example.com"}'
    assert claimed_challenge(good) == b"\x01\x02"
    assert is_wanted_client_data(good)
    assert is_wanted_client_data(good + b" " * (MAX_CLIENT_DATA - len(good)))
    for bad in (good + b" " * MAX_CLIENT_DATA, good[:-1], b"null", good.replace(b'"AQI"', b"[1]")):
        assert claimed_challenge(bad) is None
        assert not is_wanted_client_data(bad)
