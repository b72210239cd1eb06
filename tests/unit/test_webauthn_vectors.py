"""The test vectors of WebAuthn Level 3: what is made of each, by what this relying party asks for.

`tests/golden/webauthn/w3c_level_3.json` holds their bytes, from the section "Test Vectors" of the standard.
"""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest

from runtime.encoding import base64url
from runtime.passkeys import (
    Assertion,
    Credential,
    NewCredential,
    Registration,
    RelyingParty,
    verify_assertion,
    verify_registration,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "golden" / "webauthn" / "w3c_level_3.json").read_text()
)
PARTY = RelyingParty(rp_id="example.org", name="Example", origins=("https://example.org",))
REGISTERED = {"packed-self-es256"}
"""The only one whose user was verified, and that has no other attestation than its own, nor another site around it."""
SIGNED_IN = {"none-es256-long-credential-id", "packed-es256", "tpm-es256"}
"""Those whose user was verified, of an algorithm that is offered, and without another site around the page."""
ELIGIBLE = 0x08


def raw(name: str, ceremony: str, member: str) -> bytes:
    return bytes.fromhex(VECTORS[name][ceremony][member])


def attested(name: str) -> tuple[bytes, bytes]:
    """Authenticator data of the registration, and the public key at its end."""
    data: bytes = cbor2.loads(raw(name, "registration", "attestationObject"))["authData"]
    return data, data[55 + int.from_bytes(data[53:55], "big") :]


def registration(name: str) -> NewCredential | None:
    answer = Registration(
        credential_id=raw(name, "registration", "credential_id"),
        client_data=raw(name, "registration", "clientDataJSON"),
        attestation=raw(name, "registration", "attestationObject"),
    )
    return verify_registration(PARTY, answer, raw(name, "registration", "challenge"))


def assertion(name: str, **changed: bytes) -> int | None:
    data, public_key = attested(name)
    members = {
        "credential_id": raw(name, "registration", "credential_id"),
        "client_data": raw(name, "authentication", "clientDataJSON"),
        "authenticator_data": raw(name, "authentication", "authenticatorData"),
        "signature": raw(name, "authentication", "signature"),
        **changed,
    }
    credential = Credential(
        credential_id=base64url(raw(name, "registration", "credential_id")),
        public_key=base64url(public_key),
        is_synced=bool(data[32] & ELIGIBLE),
    )
    challenge = raw(name, "authentication", "challenge")
    return verify_assertion(PARTY, Assertion(**members, user_handle=None), challenge, credential)


@pytest.mark.parametrize("name", VECTORS)
def test_abuse_f3_each_registration_of_the_standard(name: str) -> None:
    new = registration(name)
    assert (new is not None) == (name in REGISTERED)
    if new is not None:
        assert new.public_key == base64url(attested(name)[1])
        assert new.credential_id == base64url(raw(name, "registration", "credential_id"))


@pytest.mark.parametrize("name", VECTORS)
def test_abuse_f3_each_assertion_of_the_standard(name: str) -> None:
    assert (assertion(name) is not None) == (name in SIGNED_IN)


@pytest.mark.parametrize("name", sorted(SIGNED_IN))
def test_abuse_f3_an_assertion_of_the_standard_with_a_changed_byte_is_refused(name: str) -> None:
    for member, at in {"client_data": -2, "authenticator_data": 36, "signature": -1}.items():
        wire = {"client_data": "clientDataJSON", "authenticator_data": "authenticatorData"}.get(
            member, member
        )
        changed = bytearray(raw(name, "authentication", wire))
        changed[at] ^= 1
        assert assertion(name, **{member: bytes(changed)}) is None
