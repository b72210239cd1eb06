"""Whatever bytes come for a passkey, they are judged and raise nothing."""

import json
from dataclasses import replace
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from runtime.encoding import base64url
from runtime.passkeys import Credential, creation_options, verify_assertion, verify_registration
from tests.support.authenticator import Lies
from tests.support.relying_party import (
    CHALLENGE,
    FIVE_MINUTES,
    HOLDER,
    ORIGIN,
    PARTY,
    Known,
    known,
    new_authenticator,
    registered,
    registration_of,
)

KNOWN: Known = known()
AUTHENTICATOR = new_authenticator()
REGISTRATION = registration_of(AUTHENTICATOR.create(creation_options(PARTY, HOLDER, CHALLENGE, FIVE_MINUTES)))
ASSERTION = KNOWN.assertion()

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=8)
    | st.binary(max_size=40)
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-9, 9) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)
labels = st.sampled_from([1, 3, -1, -2, -3, 2, 4])
numbers = st.sampled_from([1, 2, 3, 6, 7, -7, -8, -35, -36, -37, -48, -257, -65535]) | scalars
keys = st.dictionaries(labels, numbers | st.binary(min_size=32, max_size=32), max_size=6).map(cbor2.dumps)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["type", "challenge", "origin", "crossOrigin", "topOrigin", "tokenBinding"])


def cut_and_flipped(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some changed, put in or left out."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = whole
        for at, length, put in edits:
            start = at % (len(changed) + 1)
            changed = changed[:start] + put + changed[start + length :]
        return changed

    edit = st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=4))
    return st.lists(edit, min_size=1, max_size=4).map(change)


@given(st.binary(max_size=300) | plain.map(cbor2.dumps) | cut_and_flipped(REGISTRATION.attestation))
def test_abuse_f5_any_attestation_is_judged(attestation: bytes) -> None:
    verify_registration(PARTY, replace(REGISTRATION, attestation=attestation), CHALLENGE)


@given(keys | plain.map(cbor2.dumps))
def test_abuse_f5_any_public_key_is_judged(cose_key: bytes) -> None:
    registered(new_authenticator(), Lies(cose_key=cose_key))


@given(st.sampled_from(["none", "packed", "tpm", "apple", "android-key"]) | plain, plain)
def test_abuse_f5_any_statement_is_judged(form: Any, statement: Any) -> None:
    registered(new_authenticator(), Lies(attestation={"fmt": form, "attStmt": statement}))


@given(st.dictionaries(members, json_values, max_size=3))
def test_abuse_f5_any_client_data_is_judged(client: dict[str, Any]) -> None:
    honest = {"type": "webauthn.get", "challenge": base64url(CHALLENGE), "origin": ORIGIN}
    lie = Lies(client_data=json.dumps({**honest, **client}).encode())
    assert (KNOWN.answers(lie) is None) == (
        {**honest, "crossOrigin": False, **client} != {**honest, "crossOrigin": False}
    )


@given(st.binary(max_size=100) | cut_and_flipped(ASSERTION.authenticator_data), st.binary(max_size=80))
def test_abuse_f5_any_assertion_is_judged(data: bytes, signature: bytes) -> None:
    for changed in (
        replace(ASSERTION, authenticator_data=data, signature=signature),
        replace(ASSERTION, client_data=data),
        replace(ASSERTION, credential_id=signature),
    ):
        assert verify_assertion(PARTY, changed, CHALLENGE, KNOWN.credential) is None


@given(keys | st.binary(max_size=80))
def test_abuse_f5_a_stored_key_that_is_none_opens_nothing(public_key: bytes) -> None:
    """Such a key cannot come into the log; if one did, it would be no more than a passkey that never fits."""
    stored = Credential(
        credential_id=KNOWN.credential.credential_id, public_key=base64url(public_key), is_synced=False
    )
    assert verify_assertion(PARTY, ASSERTION, CHALLENGE, stored) is None
