"""Registrations and assertions of passkeys, honest ones and each lie that WebAuthn section 7 names."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runtime.encoding import base64url
from runtime.passkeys import (
    NewCredential,
    creation_options,
    parse_members,
    request_options,
    verify_assertion,
    verify_registration,
)
from tests.support.authenticator import (
    ATTESTED,
    BACKED_UP,
    ELIGIBLE,
    EXTENDED,
    PRESENT,
    VERIFIED,
    Lies,
    cose_of,
    sign,
    stolen,
)
from tests.support.relying_party import (
    CHALLENGE,
    FIVE_MINUTES,
    HOLDER,
    ORIGIN,
    OTHER_CHALLENGE,
    PARTY,
    Known,
    known,
    new_authenticator,
    registered,
    registration_of,
    text,
)

POINT = {-2: b"\x01" * 32, -3: b"\x02" * 32}
BOMB = bytes.fromhex("d81c81d81d00")
"""An array that holds itself, by tags 28 and 29."""
GROWING = b"\x98\x1e\xd8\x1c\x81\x00" + b"".join(
    b"\xd8\x1c\x82" + 2 * (b"\xd8\x1d" + cbor2.dumps(number)) for number in range(29)
)
"""Thirty arrays, each of which is twice the one before: written out, that is gigabytes."""
EXTENSIONS = cbor2.dumps({"credProtect": 2})

CLIENT_LIES: dict[str, Lies] = {
    "another origin": Lies(client={"origin": "https://id.example.org"}),
    "a longer origin": Lies(client={"origin": ORIGIN + ".evil.example"}),
    "an origin with a path": Lies(client={"origin": ORIGIN + "/"}),
    "an origin in capitals": Lies(client={"origin": ORIGIN.upper()}),
    "no origin": Lies(without=("origin",)),
    "several origins": Lies(client={"origin": [ORIGIN]}),
    "another site's frame": Lies(client={"crossOrigin": True}),
    "perhaps another site's frame": Lies(client={"crossOrigin": 0}),
    "a frame in a page of ours": Lies(client={"topOrigin": ORIGIN}),
    "another site around the page": Lies(client={"crossOrigin": True, "topOrigin": "https://evil.example"}),
    "a bound connection": Lies(client={"tokenBinding": {"status": "present", "id": "x"}}),
    "another challenge": Lies(client={"challenge": text(OTHER_CHALLENGE)}),
    "no challenge": Lies(without=("challenge",)),
    "a padded challenge": Lies(client={"challenge": text(CHALLENGE) + "="}),
    "a challenge in another spelling": Lies(client={"challenge": text(CHALLENGE)[:-1] + "5"}),
    "a payment": Lies(client={"type": "payment.get"}),
    "no type": Lies(without=("type",)),
    "a type of another type": Lies(client={"type": ["webauthn.get"]}),
    "no JSON": Lies(client_data=b"{"),
    "an empty text": Lies(client_data=b""),
    "a list": Lies(client_data=b"[]"),
    "a number that is none": Lies(client_data=b'{"type":NaN}'),
    "deep nesting": Lies(client_data=b"[" * 4000),
    "what is longer than a browser makes": Lies(client={"extra": "x" * 4096}),
}
DATA_LIES: dict[str, Lies] = {
    "another relying party": Lies(rp_id="example.org"),
    "the origin for the relying party": Lies(rp_id=ORIGIN),
    "nobody present": Lies(clear_flags=PRESENT),
    "nobody verified": Lies(clear_flags=VERIFIED),
    "neither": Lies(clear_flags=PRESENT | VERIFIED),
    "a backup of what cannot be backed up": Lies(set_flags=BACKED_UP),
    "extensions that are announced only": Lies(set_flags=EXTENDED),
    "extensions that are not announced": Lies(tail=EXTENSIONS),
    "bytes at the end": Lies(tail=b"\x00"),
    "extensions that are no map": Lies(set_flags=EXTENDED, tail=b"\x80"),
    "extensions with a bomb": Lies(set_flags=EXTENDED, tail=b"\xa1\x61x" + BOMB),
    "extensions with a growing bomb": Lies(set_flags=EXTENDED, tail=b"\xa1\x61x" + GROWING),
    "extensions that nest": Lies(set_flags=EXTENDED, tail=b"\xa1\x61x" + b"\x81" * 2000 + b"\x00"),
    "extensions that never end": Lies(set_flags=EXTENDED, tail=b"\xbf\x61x\x01\xff"),
    "an extension twice": Lies(set_flags=EXTENDED, tail=b"\xa2\x61x\x01\x61x\x02"),
    "extensions without end": Lies(set_flags=EXTENDED, tail=cbor2.dumps({"x": b"x" * 5000})),
}


def _altered(**members: Any) -> Lies:
    return Lies(attestation=members)


ATTESTATION_LIES: dict[str, Lies] = {
    "no credential": Lies(clear_flags=ATTESTED),
    "an attestation that nobody asked for": _altered(fmt="android-safetynet", attStmt={"ver": "1"}),
    "one with a certificate": _altered(fmt="packed", attStmt={"alg": -7, "sig": b"x", "x5c": [b"x"]}),
    "one of a security key": _altered(fmt="fido-u2f", attStmt={"sig": b"x", "x5c": [b"x"]}),
    "a wrong signature of its own": _altered(fmt="packed", attStmt={"alg": -7, "sig": b"x"}),
    "a signature that is none": _altered(fmt="packed", attStmt={"alg": -7, "sig": 1}),
    "none, with a statement": _altered(attStmt={"sig": b"x"}),
    "none, with a list": _altered(attStmt=[]),
    "a format without a name": _altered(fmt=1),
    "a member of its own": _altered(more=1),
    "data that is no text": _altered(authData="x"),
    "data that is too short": _altered(authData=b"x" * 36),
    "no CBOR": Lies(attestation_object=b"\xff"),
    "nothing": Lies(attestation_object=b""),
    "a list": Lies(attestation_object=b"\x80"),
    "a bomb": Lies(attestation_object=BOMB),
    "a growing bomb": Lies(attestation_object=GROWING),
    "deep nesting": Lies(attestation_object=b"\x81" * 8000 + b"\x00"),
    "a map that promises much": Lies(attestation_object=b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
    "bytes that are promised": Lies(attestation_object=b"\xa1\x63fmt\x5a\x7f\xff\xff\xff"),
    "more than there can be": _altered(attStmt={"x": b"x" * 9000}),
}
FITTING = [
    cbor2.loads(cose_of(key))
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    )
]
KEYS: dict[str, bytes] = {
    "no point of the curve": cbor2.dumps({1: 2, 3: -7, -1: 1, **POINT}),
    "nothing but the first byte of a point": b"\x04",
    "a point as security keys had it": b"\x04" + b"\x01" * 64,
    "an algorithm that was not offered": cbor2.dumps({1: 2, 3: -35, -1: 2, -2: b"x" * 48, -3: b"y" * 48}),
    "RSA with SHA-1": cbor2.dumps({1: 3, 3: -65535, -1: b"\xff" * 256, -2: b"\x01\x00\x01"}),
    "RSA that says it is a curve": cbor2.dumps({1: 3, 3: -7, -1: b"\xff" * 256, -2: b"\x01\x00\x01"}),
    "a curve that says it is RSA": cbor2.dumps({1: 2, 3: -257, -1: 1, **POINT}),
    "another curve than ES256's": cbor2.dumps({1: 2, 3: -7, -1: 2, -2: b"x" * 48, -3: b"y" * 48}),
    "a short RSA key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 128, -2: b"\x01\x00\x01"}),
    "a long RSA key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 600, -2: b"\x01\x00\x01"}),
    "a coordinate with a zero in front": cbor2.dumps({**FITTING[0], -2: b"\0" + FITTING[0][-2]}),
    "a modulus with a zero in front": cbor2.dumps({**FITTING[1], -1: b"\0" + FITTING[1][-1]}),
    "RSA with the exponent 3": cbor2.dumps({**FITTING[1], -2: b"\3"}),
    "RSA with a costly exponent that fits": cbor2.dumps({**FITTING[1], -2: b"\1" * 256}),
    "RSA with the exponent 1": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\x01"}),
    "RSA with a costly exponent": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\xff" * 256}),
    "no algorithm": cbor2.dumps({1: 2, -1: 1, **POINT}),
    "a member more": cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"x" * 32, -4: b"private"}),
    "a list": cbor2.dumps([1, 2, 3]),
    "a number": b"\x01",
    "a bomb": BOMB,
    "a growing bomb": GROWING,
    "a key twice": b"\xa2\x01\x02\x01\x02",
    "true for 1": b"\xa4" + cbor2.dumps(True) + cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"x" * 32})[1:],
    "nothing": b"",
}


@pytest.fixture(scope="module")
def passkey() -> Known:
    return known()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_passkey_of_each_algorithm_that_is_offered_registers_and_signs(algorithm: str) -> None:
    one = known(algorithm=algorithm)
    assert one.authenticator.key is not None
    assert one.credential == registered_as(one, is_synced=False, sign_count=1)
    assert one.answers() == 2
    other = known(algorithm=algorithm)
    assert one.answers(Lies(signature=other.assertion().signature)) is None


def registered_as(one: Known, *, is_synced: bool, sign_count: int) -> object:
    assert one.authenticator.key is not None
    return NewCredential(
        credential_id=base64url(one.authenticator.credential_id),
        public_key=base64url(cose_of(one.authenticator.key)),
        is_synced=is_synced,
        sign_count=sign_count,
    )


def test_a_synced_passkey_says_so_and_stays_one() -> None:
    synced = known(is_synced=True, step=0)
    assert synced.credential == registered_as(synced, is_synced=True, sign_count=0)
    assert synced.answers() == 0
    assert synced.answers(Lies(clear_flags=BACKED_UP)) == 0
    assert synced.answers(Lies(clear_flags=ELIGIBLE | BACKED_UP)) is None
    assert known().answers(Lies(set_flags=ELIGIBLE)) is None


def test_extensions_and_members_that_come_with_later_standards_do_no_harm(passkey: Known) -> None:
    extended = Lies(set_flags=EXTENDED, tail=EXTENSIONS, client={"other_keys_can_be_added_here": "why not"})
    assert passkey.answers(extended) is not None
    assert registered(new_authenticator(), extended) is not None
    assert passkey.answers(Lies(without=("crossOrigin",))) is not None


def test_an_authenticator_may_attest_itself(passkey: Known) -> None:
    """What browsers leave as it is, though no attestation was asked for (section 5.4.7)."""
    authenticator = new_authenticator()
    assert registered(authenticator) is not None
    assert authenticator.key is not None
    frozen = replace(authenticator, step=0)
    data, digest = frozen_registration(frozen)
    statement = {"alg": -7, "sig": sign(authenticator.key, data + digest)}
    assert registered(frozen, _altered(fmt="packed", attStmt=statement)) is not None
    assert registered(frozen, _altered(fmt="packed", attStmt={**statement, "alg": -8})) is None


def frozen_registration(authenticator: Any) -> tuple[bytes, bytes]:
    """What the next registration of an authenticator that does not count will sign."""
    answer = authenticator.create(creation_options(PARTY, HOLDER, CHALLENGE, FIVE_MINUTES))
    members = {name: answer["response"][name] for name in ("authenticatorData", "clientDataJSON")}
    raw = parse_members(members)
    assert raw is not None
    return raw["authenticatorData"], hashlib.sha256(raw["clientDataJSON"]).digest()


@pytest.mark.parametrize("lie", [*CLIENT_LIES, *DATA_LIES])
def test_abuse_f3_an_assertion_with_a_lie_is_refused(passkey: Known, lie: str) -> None:
    assert passkey.answers({**CLIENT_LIES, **DATA_LIES}[lie]) is None
    assert passkey.answers() is not None


@pytest.mark.parametrize("lie", [*CLIENT_LIES, *DATA_LIES, *ATTESTATION_LIES])
def test_abuse_f3_a_registration_with_a_lie_is_refused(lie: str) -> None:
    assert registered(new_authenticator(), {**CLIENT_LIES, **DATA_LIES, **ATTESTATION_LIES}[lie]) is None


@pytest.mark.parametrize("key", KEYS)
def test_abuse_f3_only_keys_that_were_offered_and_can_be_used_are_taken(key: str) -> None:
    assert registered(new_authenticator(), Lies(cose_key=KEYS[key])) is None


def test_abuse_f3_a_registration_is_no_assertion_and_an_assertion_no_registration(passkey: Known) -> None:
    assert passkey.answers(Lies(client={"type": "webauthn.create"})) is None
    assert registered(new_authenticator(), Lies(client={"type": "webauthn.get"})) is None
    assert passkey.answers(Lies(set_flags=ATTESTED)) is None


def test_abuse_f3_an_assertion_is_good_only_for_its_own_challenge(passkey: Known) -> None:
    assert passkey.answers(challenge=OTHER_CHALLENGE) is None


def test_abuse_f3_members_twice_in_client_data_are_refused(passkey: Known) -> None:
    """A parser that takes the first and one that takes the last would disagree about the origin."""
    members = {"type": "webauthn.get", "challenge": text(CHALLENGE), "origin": ORIGIN}
    good = json.dumps(members).encode()
    assert passkey.answers(Lies(client_data=good)) is not None
    twice = good[:-1] + b', "origin": "' + ORIGIN.encode() + b'"}'
    assert passkey.answers(Lies(client_data=twice)) is None
    assert passkey.answers(Lies(client_data=b"\xef\xbb\xbf" + good)) is None
    assert passkey.answers(Lies(client_data=good.decode().encode("utf-16"))) is None


def test_abuse_f3_a_signature_of_another_key_or_over_other_bytes_is_refused(passkey: Known) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert (
        Known(authenticator=stolen(passkey.authenticator, key=key), credential=passkey.credential).answers()
        is None
    )
    assertion = passkey.assertion()
    data = assertion.authenticator_data
    grown = data[:33] + (9999).to_bytes(4, "big")
    for changed in (
        replace(assertion, authenticator_data=grown),
        replace(assertion, signature=assertion.signature[:-1]),
        replace(assertion, signature=b""),
        replace(assertion, signature=b"\x30\x06\x02\x01\x00\x02\x01\x00"),
        replace(assertion, client_data=assertion.client_data.replace(b'"type"', b' "type"')),
        replace(assertion, credential_id=b"another"),
        replace(assertion, authenticator_data=data[:36]),
        replace(assertion, authenticator_data=b""),
    ):
        assert verify_assertion(PARTY, changed, CHALLENGE, passkey.credential) is None
    assert verify_assertion(PARTY, assertion, CHALLENGE, passkey.credential) is not None


def test_a_stored_key_that_is_no_point_opens_nothing(passkey: Known) -> None:
    stored = replace(passkey.credential, public_key=base64url(KEYS["no point of the curve"]))
    assert verify_assertion(PARTY, passkey.assertion(), CHALLENGE, stored) is None


def test_the_counter_is_told_and_not_judged(passkey: Known) -> None:
    """Whether it has grown is the account's decision, which knows the newest one."""
    assert passkey.answers(Lies(sign_count=0)) == 0
    assert passkey.answers(Lies(sign_count=2**32 - 1)) == 2**32 - 1


@pytest.mark.parametrize(
    ("length", "is_taken"), [(0, False), (1, True), (1023, True), (1024, False), (65535, False)]
)
def test_abuse_f5_a_credential_id_is_bounded(length: int, is_taken: bool) -> None:  # noqa: FBT001  # a table
    authenticator = new_authenticator(credential_id=b"x" * length)
    assert (registered(authenticator) is not None) == is_taken


def test_abuse_f5_the_id_of_a_registration_is_the_one_that_was_attested() -> None:
    authenticator = new_authenticator()
    options = creation_options(PARTY, HOLDER, CHALLENGE, FIVE_MINUTES)
    answer = registration_of(authenticator.create(options))
    assert verify_registration(PARTY, answer, CHALLENGE) is not None
    assert verify_registration(PARTY, replace(answer, credential_id=b"another"), CHALLENGE) is None


@pytest.mark.parametrize("bits", [2048, 4096])
def test_rsa_keys_of_up_to_4096_bits_are_taken(bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert registered(new_authenticator(key=key)) is not None


def test_what_a_browser_is_asked_for_a_new_passkey() -> None:
    holder = replace(HOLDER, credential_ids=("AQID",))
    assert creation_options(PARTY, holder, b"\x01\x02", FIVE_MINUTES) == {
        "rp": {"id": "example.com", "name": "Example"},
        "user": {
            "id": base64url(HOLDER.handle),
            "name": "ada@example.com",
            "displayName": "ada@example.com",
        },
        "challenge": "AQI",
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-7, -8, -257)],
        "timeout": 300_000,
        "excludeCredentials": [{"type": "public-key", "id": "AQID"}],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def test_what_a_browser_is_asked_for_a_sign_in() -> None:
    asked = {"challenge": "AQI", "timeout": 300_000, "rpId": "example.com", "userVerification": "required"}
    assert request_options(PARTY, b"\x01\x02", FIVE_MINUTES) == {**asked, "allowCredentials": []}
    one = [{"type": "public-key", "id": "AQID"}]
    assert request_options(PARTY, b"\x01\x02", FIVE_MINUTES, ["AQID"]) == {**asked, "allowCredentials": one}


@pytest.mark.parametrize("text", ["AQ==", "AR", "A", "AQI=", "A+/_", " AQI", "AQI\n", "ÄQI"])
def test_a_member_that_is_not_in_its_one_spelling_is_refused(text: str) -> None:
    assert parse_members({"id": "AQI", "signature": text}) is None
    assert parse_members({"id": "AQI"}) == {"id": b"\x01\x02"}
