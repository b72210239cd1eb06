"""Keys that sign access tokens: ES256, EdDSA (Ed25519) and RS256 (RFC 7518, RFC 8037), and signatures by them.

Law: a key has one algorithm, and everything it signs has one spelling, so that a revoked token has no twin.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm as Signer
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from runtime.encoding import base64url

Algorithm = Literal["ES256", "EdDSA", "RS256"]
ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "EdDSA", "RS256")
RSA_BITS = 2048
_RSA_EXPONENT = 65537
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE_BYTES = 32
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_PUBLIC_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "ES256": ("crv", "kty", "x", "y"),
    "EdDSA": ("crv", "kty", "x"),
    "RS256": ("e", "kty", "n"),
}

_SIGNERS: Mapping[str, Signer] = {alg: get_default_algorithms()[alg] for alg in ALGORITHMS}

Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    kid: str
    alg: str
    key: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    kid: str
    alg: str
    key: Private = field(repr=False)


def new_signing_key(alg: Algorithm) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A fresh key: PKCS #8 PEM and the public JWK's members (RFC 7517) in order of name."""
    private = _generate(alg)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    jwk = _to_jwk(private.public_key())
    return pem.decode(), tuple((name, str(jwk[name])) for name in _PUBLIC_MEMBERS[alg])


def signing_key(kid: str, alg: str, private_pem: str) -> SigningKey:
    """Parsed once, because that takes longer than a signature."""
    private = serialization.load_pem_private_key(private_pem.encode(), None)
    assert isinstance(private, Private), "only keys made here are stored"
    assert _is_fit(alg, private.public_key()), "a key is of its algorithm"
    return SigningKey(kid=kid, alg=alg, key=private)


def verification_key(kid: str, alg: str, public_jwk: Mapping[str, str]) -> VerificationKey:
    """Asserts that the key is public and of its algorithm."""
    assert set(public_jwk) == set(_PUBLIC_MEMBERS[alg]), "only public keys are stored"
    key = _from_jwk(alg, dict(public_jwk))
    assert isinstance(key, Public), "only public keys are stored"
    assert _is_fit(alg, key), "a key is of its algorithm"
    return VerificationKey(kid=kid, alg=alg, key=key)


def sign(payload: Mapping[str, object], header: dict[str, str], key: SigningKey) -> str:
    """A compact JWS (RFC 7515 section 3.1) whose signature has the one form that `is_canonical` accepts."""
    parts = ({**header, "alg": key.alg, "kid": key.kid}, payload)
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = _SIGNERS[key.alg].sign(signed.encode(), key.key)
    if key.alg == "ES256":
        signature = _with_low_s(signature)
    return f"{signed}.{base64url(signature)}"


def is_signed(signed: bytes, signature: bytes, key: VerificationKey) -> bool:
    """Whether the key made this signature, in the one form that it makes, of these bytes."""
    return is_canonical(signature, key) and _SIGNERS[key.alg].verify(signed, key.key, signature)


def is_canonical(signature: bytes, key: VerificationKey) -> bool:
    """Whether these bytes are the only ones that say what they say. ECDSA has a twin, (r, n-s), for any (r, s)."""
    match key.key:
        case ec.EllipticCurvePublicKey():
            s = int.from_bytes(signature[_COORDINATE_BYTES:], "big")
            return len(signature) == 2 * _COORDINATE_BYTES and 0 < s <= _P256_ORDER // 2
        case ed25519.Ed25519PublicKey():
            s = int.from_bytes(signature[_COORDINATE_BYTES:], "little")
            return len(signature) == 2 * _COORDINATE_BYTES and s < _ED25519_ORDER
        case rsa.RSAPublicKey():
            number = int.from_bytes(signature, "big")
            return len(signature) * 8 == key.key.key_size and number < key.key.public_numbers().n
        case _:
            assert_never(key.key)


def _generate(alg: Algorithm) -> Private:
    match alg:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "RS256":
            return rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=RSA_BITS)
        case _:
            assert_never(alg)


def _to_jwk(public: Public) -> dict[str, object]:
    match public:
        case ec.EllipticCurvePublicKey():
            return ECAlgorithm.to_jwk(public, as_dict=True)
        case ed25519.Ed25519PublicKey():
            return OKPAlgorithm.to_jwk(public, as_dict=True)
        case rsa.RSAPublicKey():
            return RSAAlgorithm.to_jwk(public, as_dict=True)
        case _:
            assert_never(public)


def _from_jwk(alg: str, jwk: dict[str, str]) -> object:
    match alg:
        case "ES256":
            return ECAlgorithm.from_jwk(jwk)
        case "EdDSA":
            return OKPAlgorithm.from_jwk(jwk)
        case _:
            return RSAAlgorithm.from_jwk(jwk)


def _is_fit(alg: str, public: Public) -> bool:
    match alg, public:
        case "ES256", ec.EllipticCurvePublicKey():
            return isinstance(public.curve, ec.SECP256R1)
        case "EdDSA", ed25519.Ed25519PublicKey():
            return True
        case "RS256", rsa.RSAPublicKey():
            return public.key_size >= RSA_BITS and public.public_numbers().e == _RSA_EXPONENT
        case _:
            return False


def _with_low_s(signature: bytes) -> bytes:
    s = int.from_bytes(signature[_COORDINATE_BYTES:], "big")
    low = min(s, _P256_ORDER - s)
    return signature[:_COORDINATE_BYTES] + low.to_bytes(_COORDINATE_BYTES, "big")
