"""Access tokens: what is signed here opens here, in one spelling; every known forgery is worth nothing."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chancery_sdk import claims as sdk
from runtime.access_token import (
    MAX_TOKEN_BYTES,
    Claims,
    sign_access_token,
    verify_access_token,
    verify_signature,
)
from runtime.encoding import base64url, parse_base64url
from runtime.signing import new_signing_key, signing_key, verification_key
from tests.support.examples import NOON
from tests.support.forge import (
    CLAIMS,
    EXPIRES,
    HEADER,
    ISSUED,
    ISSUER,
    KID,
    ORDER,
    PAYLOAD,
    Mint,
    as_bytes,
    without,
)

MINT = Mint.new()
OTHER_MINT = Mint.new()
MACHINE = Claims(
    issuer=ISSUER,
    subject="client-1",
    audience=("https://api.example.com", "https://two.example.com"),
    client_id="client-1",
    scope="chancery.introspect",
    token_id="token-2",
    issued_at=ISSUED,
    expires_at=EXPIRES,
)


def verified(token: str, mint: Mint = MINT) -> Claims | None:
    """By us, and the SDK must say the same."""
    claims = verify_access_token(token, mint.keys, issuer=ISSUER, at=NOON)
    assert (claims is not None) == is_good_to_the_sdk(token, mint)
    return claims


def is_good_to_the_sdk(token: str, mint: Mint) -> bool:
    keys = sdk.read_keys(json.dumps({"keys": [{**mint.jwk, "kid": KID, "alg": "ES256"}]}).encode())
    try:
        claims = sdk.read_claims(token, keys[sdk.key_id_of(token)], ISSUER)
    except (sdk.UnreadableTokenError, KeyError):
        return False
    now = NOON.timestamp()
    return now < claims.expires_at and claims.issued_at <= now + sdk.CLOCK_SKEW_SECONDS


def signed(claims: Claims) -> str:
    return sign_access_token(claims, signing_key(KID, "ES256", MINT.private_pem))


@pytest.mark.parametrize("claims", [CLAIMS, MACHINE], ids=["person", "machine"])
def test_a_token_that_was_signed_here_says_what_was_signed(claims: Claims) -> None:
    assert verified(signed(claims)) == claims


def test_a_token_has_the_members_of_rfc_9068_and_no_others() -> None:
    header, payload, _ = (parse_base64url(part) for part in signed(CLAIMS).split("."))
    assert header is not None
    assert payload is not None
    assert (json.loads(header), json.loads(payload)) == (HEADER, PAYLOAD)


def test_any_library_can_check_a_token() -> None:
    decoded = jwt.decode(
        signed(MACHINE),
        MINT.key.key,
        algorithms=["ES256"],
        audience="https://two.example.com",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert decoded["sub"] == "client-1"


def test_the_forged_original_is_good_so_that_forgeries_fail_for_their_own_reason() -> None:
    assert verified(MINT.token()) == CLAIMS


def test_the_scope_is_a_set_of_words() -> None:
    assert CLAIMS.scopes == frozenset({"openid", "email"})


def test_a_token_lives_until_its_expiry_and_not_a_moment_longer() -> None:
    token = signed(CLAIMS)
    for seconds, expected in ((299, CLAIMS), (300, None), (3000, None)):
        at = NOON + timedelta(seconds=seconds)
        assert verify_access_token(token, MINT.keys, issuer=ISSUER, at=at) == expected


def test_a_token_from_the_near_future_is_a_slow_clock_and_one_from_the_far_future_is_none() -> None:
    token = signed(CLAIMS)
    for seconds, expected in ((30, CLAIMS), (31, None)):
        at = NOON - timedelta(seconds=seconds)
        assert verify_access_token(token, MINT.keys, issuer=ISSUER, at=at) == expected


def test_an_expired_token_can_still_be_told_from_a_forged_one() -> None:
    expired = signed(replace(CLAIMS, expires_at=ISSUED - 1))
    assert verify_signature(expired, MINT.keys, issuer=ISSUER) == replace(CLAIMS, expires_at=ISSUED - 1)
    assert verify_signature(expired, OTHER_MINT.keys, issuer=ISSUER) is None


def test_every_signature_ever_made_has_the_lower_s() -> None:
    for number in range(300):
        token = signed(replace(MACHINE, token_id=str(number)))
        signature = parse_base64url(token.rpartition(".")[2])
        assert signature is not None
        assert len(signature) == 64
        assert 0 < int.from_bytes(signature[32:], "big") <= ORDER // 2
        assert verified(token) is not None


def test_a_public_key_says_nothing_private() -> None:
    pem, members = new_signing_key("ES256")
    assert [name for name, _ in members] == ["crv", "kty", "x", "y"]
    assert pem.startswith("-----BEGIN PRIVATE KEY-----")
    private = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    secret = base64url(private.private_numbers().private_value.to_bytes(32, "big"))
    with pytest.raises(AssertionError, match="only public keys are stored"):
        verification_key(KID, "ES256", {**dict(members), "d": secret})


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None])
def test_abuse_a1_alg_none_is_worth_nothing(alg: str | None) -> None:
    header = {**HEADER, "alg": alg}
    unsigned = f"{base64url(as_bytes(header))}.{base64url(as_bytes(PAYLOAD))}"
    signature = MINT.token().rpartition(".")[2]
    for end in ("", base64url(bytes(64)), signature):
        assert verified(f"{unsigned}.{end}") is None
    assert verified(MINT.token(header)) is None
    assert verified(unsigned) is None


@pytest.mark.parametrize("form", MINT.public_forms())
@pytest.mark.parametrize("alg", ["HS256", "hs256", "ES256"])
def test_abuse_a2_the_public_key_is_no_hmac_secret(form: str, alg: str) -> None:
    unsigned = f"{base64url(as_bytes({**HEADER, 'alg': alg}))}.{base64url(as_bytes(PAYLOAD))}"
    mac = hmac.new(MINT.public_forms()[form], unsigned.encode(), hashlib.sha256).digest()
    for signature in (mac, mac + bytes(32), bytes(32) + mac, mac + mac):
        assert verified(f"{unsigned}.{base64url(signature)}") is None


@pytest.mark.parametrize(
    "alg", ["ES384", "ES512", "ES256K", "PS256", "RS256", "EdDSA", "es256", "ES256 ", ["ES256"], 256, {}]
)
def test_abuse_a3_the_algorithm_is_the_keys_not_the_headers(alg: Any) -> None:
    assert verified(MINT.token({**HEADER, "alg": alg})) is None


def test_abuse_a3_a_key_for_another_algorithm_does_not_check_es256() -> None:
    keys = {KID: replace(MINT.key, alg="ES384")}
    assert verify_access_token(MINT.token(), keys, issuer=ISSUER, at=NOON) is None


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "cty", "zip", "nonce"])
@pytest.mark.parametrize("mint", [MINT, OTHER_MINT], ids=["our key", "a forger's key"])
def test_abuse_a4_a7_a_header_with_anything_more_is_refused(member: str, mint: Mint) -> None:
    values = {"jwk": mint.jwk, "x5c": ["AA=="], "crit": ["b64"], "b64": False, "zip": "DEF"}
    value = values.get(member, "https://evil.example.com/keys")
    assert verified(mint.token({**HEADER, member: value})) is None


@pytest.mark.parametrize("member", HEADER)
def test_abuse_a4_a_header_with_anything_less_is_refused(member: str) -> None:
    assert verified(MINT.token(without(HEADER, member))) is None


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "' or 1=1 --",
        "| sleep 9",
        "key-1\x00",
        "KEY-1",
        "",
        "k" * 5000,
        None,
        1,
        True,
        [KID],
        {},
    ],
    ids=repr,
)
def test_abuse_a5_only_a_known_kid_finds_a_key(kid: Any) -> None:
    assert verified(MINT.token({**HEADER, "kid": kid})) is None


def test_a_token_of_another_key_is_worth_nothing() -> None:
    assert verified(OTHER_MINT.token()) is None


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(32) + (1).to_bytes(32, "big"),
        (1).to_bytes(32, "big") + bytes(32),
        ORDER.to_bytes(32, "big") * 2,
        ORDER.to_bytes(32, "big") + (1).to_bytes(32, "big"),
        b"\xff" * 64,
        bytes(63) + b"\x01",
        bytes(66),
        bytes(128),
    ],
    ids=lambda raw: f"{len(raw)} bytes {raw[-1:].hex()}",
)
def test_abuse_a8_zero_and_oversized_signatures_are_worth_nothing(signature: bytes) -> None:
    unsigned = MINT.token().rpartition(".")[0]
    assert verified(f"{unsigned}.{base64url(signature)}") is None


def test_abuse_a8_a_signature_of_another_length_is_worth_nothing() -> None:
    unsigned, _, text = MINT.token().rpartition(".")
    signature = parse_base64url(text)
    assert signature is not None
    longer = (signature + b"\x00", b"\x00" + signature, b"\x00" + signature[:32] + b"\x00" + signature[32:])
    for other in (signature[:-1], signature[1:], signature[:32], *longer):
        assert verified(f"{unsigned}.{base64url(other)}") is None


def test_abuse_a9_the_twin_of_a_signature_is_worth_nothing() -> None:
    unsigned, _, text = MINT.token().rpartition(".")
    signature = parse_base64url(text)
    assert signature is not None
    twin = ORDER - int.from_bytes(signature[32:], "big")
    assert verified(f"{unsigned}.{base64url(signature[:32] + twin.to_bytes(32, 'big'))}") is None
    assert verified(MINT.token(high=True)) is None


def test_abuse_a9_a_token_has_one_spelling() -> None:
    token = MINT.token()
    header, payload, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = signature[:-1] + last[last.index(signature[-1]) + 1]
    variants = [
        f"{header}.{payload}.{respelled}",
        f"{header}=.{payload}.{signature}",
        f"{token}=",
        f"{token}==",
    ]
    variants += [f"{token}\n", f" {token}", f"{token} ", token.replace(".", ". "), f"{token}.", f".{token}"]
    variants += [
        f"{token}.{signature}",
        f"{header}.{payload}",
        f"{header}\n.{payload}.{signature}",
        f"é{token}",
    ]
    assert verified(token) == CLAIMS
    assert [variant for variant in variants if verified(variant) is not None] == []


PLAIN = json.dumps(PAYLOAD)


@pytest.mark.parametrize(
    "payload",
    [
        (PLAIN[:-1] + ', "sub": "admin"}').encode(),
        (PLAIN[:-1] + ', "scope": "openid email"}').encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-32"),
        PLAIN.replace("acc", "\\ud800").encode(),
        PLAIN.replace("acc", "a\\u0000").encode(),
        b"[" + PLAIN.encode() + b"]",
        b"null",
        b"{}",
        b"",
        b"\xff",
    ],
    ids=range(13),
)
def test_abuse_a9_a_payload_that_two_parsers_read_differently_is_worth_nothing(payload: bytes) -> None:
    assert verified(MINT.token(payload=payload)) is None


def test_abuse_a9_a_header_member_that_occurs_twice_is_worth_nothing() -> None:
    twice = json.dumps(HEADER)[:-1] + ', "alg": "ES256"}'
    assert verified(MINT.token(twice.encode())) is None


TIMES = [str(EXPIRES), True, float(EXPIRES), [EXPIRES], {}, None, -1, 0]


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_abuse_a10_an_expiry_is_an_integer_in_the_future(value: Any) -> None:
    assert verified(MINT.token(payload={**PAYLOAD, "exp": value})) is None


@pytest.mark.parametrize("value", [str(ISSUED), True, float(ISSUED), [ISSUED], {}, None], ids=repr)
def test_abuse_a10_a_time_of_issue_is_an_integer(value: Any) -> None:
    assert verified(MINT.token(payload={**PAYLOAD, "iat": value})) is None


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_abuse_a10_a_time_that_is_no_number_is_worth_nothing(name: str, number: str) -> None:
    payload = json.dumps({**PAYLOAD, name: 0.5}).replace("0.5", number).encode()
    assert verified(MINT.token(payload=payload)) is None


def test_abuse_a10_a_token_without_times_is_worth_nothing() -> None:
    for name in ("exp", "iat"):
        assert verified(MINT.token(payload=without(PAYLOAD, name))) is None


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "", None, ["at+jwt"]]
)
def test_abuse_a11_another_kind_of_token_is_no_access_token(typ: Any) -> None:
    assert verified(MINT.token({**HEADER, "typ": typ})) is None


@pytest.mark.parametrize(
    "iss", ["", ISSUER + "/", ISSUER[:-1], ISSUER.upper(), f"{ISSUER} ", [ISSUER], None, 1]
)
def test_abuse_a12_another_issuer_is_not_ours(iss: Any) -> None:
    assert verified(MINT.token(payload={**PAYLOAD, "iss": iss})) is None


@pytest.mark.parametrize("aud", [None, [], {}, 1, ["chancery", 1], [["chancery"]], True], ids=repr)
def test_abuse_a12_an_audience_is_a_text_or_a_list_of_texts(aud: Any) -> None:
    assert verified(MINT.token(payload={**PAYLOAD, "aud": aud})) is None


@pytest.mark.parametrize(
    "name", ["iss", "sub", "aud", "client_id", "scope", "jti", "auth_time", "acr", "amr"]
)
@pytest.mark.parametrize("value", [1, {"a": "b"}, [1], None, True], ids=repr)
def test_abuse_a13_a_member_of_another_type_is_worth_nothing(name: str, value: Any) -> None:
    assert (
        verified(MINT.token(payload={**PAYLOAD, name: value if name != "auth_time" else str(value)})) is None
    )
    assert verified(MINT.token(payload=without(PAYLOAD, name))) is None


def test_abuse_a13_content_that_was_changed_after_signing_is_worth_nothing() -> None:
    header, _, signature = MINT.token().split(".")
    richer = base64url(as_bytes({**PAYLOAD, "scope": "chancery.admin"}))
    assert verified(f"{header}.{richer}.{signature}") is None


@pytest.mark.parametrize("parts", [1, 2, 4, 5, 100])
def test_abuse_a14_encrypted_and_other_tokens_are_not_even_parsed(parts: int) -> None:
    header = base64url(as_bytes({"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "enc": "A128GCM"}))
    assert verified(".".join([header, *["AA"] * (parts - 1)])) is None


def test_abuse_a15_a_token_over_8_kib_is_not_even_parsed() -> None:
    room = MAX_TOKEN_BYTES - len(MINT.token())
    filled = {**PAYLOAD, "scope": "x" * (room * 3 // 4)}
    just_fits, too_long = MINT.token(payload=filled), MINT.token(payload={**filled, "scope": "x" * 8000})
    assert len(just_fits) <= MAX_TOKEN_BYTES < len(too_long)
    claims = verified(just_fits)
    assert claims is not None
    assert claims.scope == filled["scope"]
    assert verified(too_long) is None
    assert verified("." * 10_000_000) is None


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b.c", "é.é.é", "\x00.\x00.\x00", "\ud800..", "e30.e30."]
)
def test_what_is_no_token_is_worth_nothing(text: str) -> None:
    assert verified(text) is None
