"""Signing keys of every algorithm: what each signs opens only under it, in one form of the signature."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from command_api.tokens import TokenPolicy, Tokens
from domain.client import Registered
from domain.signing_keys import CreateFirstKey, RotateKey
from events.streams import SIGNING_KEYS
from eventstore.writer import Draft
from runtime.access_token import Claims, key_named_by, sign_access_token, verify_access_token
from runtime.encoding import base64url, parse_base64url
from runtime.keys import derive_keys
from runtime.signing import (
    ALGORITHMS,
    Algorithm,
    SigningKey,
    VerificationKey,
    new_signing_key,
    signing_key,
    verification_key,
)
from tests.support.examples import ABSOLUTE, IDLE, MINUTE, NOON
from tests.support.forge import CLAIMS, ISSUER, KID
from tests.support.memory_keys import KeyTopic
from tests.support.writers import SYSTEM, new_log, new_writer

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def pair(alg: Algorithm) -> tuple[SigningKey, VerificationKey]:
    pem, jwk = new_signing_key(alg)
    return signing_key(KID, alg, pem), verification_key(KID, alg, dict(jwk))


PAIRS = {alg: pair(alg) for alg in ALGORITHMS}


def verified(token: str, key: VerificationKey) -> Claims | None:
    return verify_access_token(token, {KID: key}, issuer=ISSUER, at=NOON)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_a_key_signs_opens_under_it_and_any_library_can_check_it(alg: Algorithm) -> None:
    private, public = PAIRS[alg]
    token = sign_access_token(CLAIMS, private)
    assert verified(token, public) == CLAIMS
    decoded = jwt.decode(
        token,
        public.key,
        algorithms=[alg],
        audience="chancery",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert decoded["sub"] == CLAIMS.subject
    assert jwt.get_unverified_header(token) == {"alg": alg, "kid": KID, "typ": "at+jwt"}
    assert key_named_by(token) == KID


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("other", ALGORITHMS)
def test_abuse_a3_a_token_is_of_its_keys_algorithm(alg: Algorithm, other: Algorithm) -> None:
    token = sign_access_token(CLAIMS, PAIRS[alg][0])
    expected = CLAIMS if alg == other else None
    assert verified(token, PAIRS[other][1]) == expected
    assert verified(token, replace(PAIRS[alg][1], alg=other)) == expected


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_signature_has_one_form(alg: Algorithm) -> None:
    private, public = PAIRS[alg]
    signed, _, text = sign_access_token(CLAIMS, private).rpartition(".")
    raw = parse_base64url(text)
    assert raw is not None
    for other in (raw + b"\x00", b"\x00" + raw, raw[:-1], b"", twin(raw, public)):
        assert verified(f"{signed}.{base64url(other)}", public) is None


def twin(signature: bytes, public: VerificationKey) -> bytes:
    """Another signature that careless arithmetic would accept."""
    match public.alg:
        case "EdDSA":
            s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
            return signature[:32] + s.to_bytes(32, "little")
        case "RS256":
            assert isinstance(public.key, rsa.RSAPublicKey)
            return (int.from_bytes(signature, "big") + public.key.public_numbers().n).to_bytes(257, "big")
        case _:
            return signature[:32] + bytes(32)


def test_abuse_a17_weak_and_strange_keys_are_no_keys() -> None:
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    odd = RSAAlgorithm.to_jwk(rsa.generate_private_key(3, 2048).public_key(), as_dict=True)
    large = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    for alg, jwk in (("RS256", weak), ("RS256", odd), ("ES256", large)):
        public: dict[str, str] = {
            name: str(jwk[name]) for name in ("e", "n", "crv", "kty", "x", "y") if name in jwk
        }
        with pytest.raises(AssertionError, match="of its algorithm"):
            verification_key(KID, alg, public)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(AssertionError, match="of its algorithm"):
        signing_key(KID, "RS256", pem.decode())


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "x" * 9000, "e30.e30.e30", base64url(b'{"kid":1}') + ".e30.e30", "e30.e30"]
)
def test_a_token_that_names_no_key(token: str) -> None:
    assert key_named_by(token) is None


async def test_a_process_signs_with_the_new_key_once_its_time_has_come_and_not_before() -> None:
    now = datetime.now(UTC)
    times = [now]
    writer = new_writer(await new_log(), KeyTopic())
    pem, jwk = new_signing_key("ES256")
    rsa_pem, rsa_jwk = new_signing_key("RS256")

    def create(draft: Draft) -> None:
        first = CreateFirstKey(kid="old", alg="ES256", public_jwk=jwk, private_pem=pem, at=now)
        draft.decide(SIGNING_KEYS, first)
        rotate = RotateKey(
            kid="new", alg="RS256", public_jwk=rsa_jwk, private_pem=rsa_pem,
            lead=MINUTE, token_lifetime=5 * MINUTE, at=now,
        )  # fmt: skip
        draft.decide(SIGNING_KEYS, rotate)

    done = await writer.transact(SIGNING_KEYS, create, SYSTEM)
    policy = TokenPolicy(
        issuer=ISSUER,
        audience="a",
        person_scope="openid",
        access_lifetime=5 * MINUTE,
        refresh_idle=IDLE,
        refresh_absolute=ABSOLUTE,
        refresh_grace=timedelta(seconds=30),
    )
    tokens = Tokens(writer, derive_keys(bytes(32)), policy, lambda: times[-1])
    client = Registered(client_id="c", scopes=("s",), audiences=(), secret_digests=("d",))

    def issued(minutes: int) -> tuple[str | None, list[str]]:
        """Who signs so much later, and whose tokens are good then."""
        times.append(now + minutes * MINUTE)
        token = str(tokens.for_client(client, ("s",), done.position)["access_token"])
        keys = tokens.verification_keys()
        assert verify_access_token(token, keys, issuer=ISSUER, at=times[-1]) is not None
        return key_named_by(token), list(keys)

    assert issued(0) == ("old", ["old", "new"])
    assert issued(1) == ("new", ["old", "new"])
    assert issued(0) == ("old", ["old", "new"])
    assert issued(6) == ("new", ["old", "new"])
    assert issued(7) == ("new", ["new"])
