"""What an access token of Chancery says (RFC 9068), read from exactly one spelling of it.

PyJWT's algorithms check the signature. What JWTs are lenient about is refused here: another spelling of base64url, a header
with more than `alg`, `kid` and `typ`, a member twice, times that are no integers, a signature that has a twin.
"""

import base64
import binascii
import contextlib
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm as Signer
from jwt.algorithms import get_default_algorithms

MOST_BYTES = 8192
TYPE = "at+jwt"
CLOCK_SKEW_SECONDS = 30
ALGORITHMS = ("ES256", "EdDSA", "RS256")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_PARTS, _COORDINATE_BYTES, _RSA_BITS = 3, 32, 2048
_SIGNERS: Mapping[str, Signer] = {alg: get_default_algorithms()[alg] for alg in ALGORITHMS}

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public signing key and the one algorithm that it is for."""

    kid: str
    alg: str
    public: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """`session_id`, `acr` and `amr` are those of a person; a machine client has none. Times in seconds since 1970."""

    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: frozenset[str]
    token_id: str
    issued_at: int
    expires_at: int
    session_id: str | None
    acr: str | None
    amr: tuple[str, ...]


class UnreadableTokenError(Exception):
    """Not an access token that was signed by the key which it names."""


def read_keys(document: bytes) -> Mapping[str, Key]:
    """A JWK Set (RFC 7517) by key id. What is of no use here is left out."""
    keys = {}
    for jwk in json.loads(document)["keys"]:
        kid, alg = jwk.get("kid"), jwk.get("alg")
        if not isinstance(kid, str) or alg not in ALGORITHMS:
            continue
        with contextlib.suppress(jwt.PyJWTError):
            public = jwt.PyJWK(jwk, algorithm=alg).key
            if _is_fit(alg, public):
                keys[kid] = Key(kid=kid, alg=alg, public=public)
    return keys


def key_id_of(token: str) -> str:
    """The key that an unchecked token names. UnreadableTokenError if it is no token."""
    return _header(_split(token)[0])[0]


def read_claims(token: str, key: Key, issuer: str) -> Claims:
    """What the token says if the key signed it, expired or not. UnreadableTokenError otherwise."""
    header, payload, last = _split(token)
    signature = _parse_base64url(last)
    if _header(header)[1] != key.alg:
        raise UnreadableTokenError
    payload_raw = _parse_base64url(payload)
    if not is_signed(token[: len(header) + 1 + len(payload)].encode(), signature, key):
        raise UnreadableTokenError
    return _claims(_members(payload_raw), issuer)


def is_signed(signed: bytes, signature: bytes, key: Key) -> bool:
    """Whether the key made this signature, in the one form that Chancery makes, of these bytes."""
    return _is_canonical(signature, key.public) and _SIGNERS[key.alg].verify(signed, key.public, signature)


def _split(token: str) -> list[str]:
    parts = token.split(".") if len(token) <= MOST_BYTES else []
    if len(parts) != _PARTS:
        raise UnreadableTokenError
    return parts


def _parse_base64url(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableTokenError from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise UnreadableTokenError
    return raw


@functools.lru_cache(maxsize=64)
def _header(text: str) -> tuple[str, object]:
    """Key id and algorithm, parsed once: all tokens by one key have the same."""
    header = _members(_parse_base64url(text))
    if set(header) != {"alg", "kid", "typ"} or header["typ"] != TYPE or not isinstance(header["kid"], str):
        raise UnreadableTokenError
    return header["kid"], header["alg"]


def _members(raw: bytes) -> Mapping[str, Any]:
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:  # only an escape can hide a surrogate or NUL
            text = json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is a ValueError
            is_plain = b"\\u0000" not in text
        else:
            is_plain = True
    except (ValueError, RecursionError):
        raise UnreadableTokenError from None
    if not isinstance(value, dict) or not is_plain:
        raise UnreadableTokenError
    return value


def _refuse(_: str) -> NoReturn:
    raise UnreadableTokenError


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnreadableTokenError
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnreadableTokenError
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)


def _claims(payload: Mapping[str, Any], issuer: str) -> Claims:
    is_persons = "sid" in payload
    texts = ("iss", "sub", "client_id", "scope", "jti", *(("sid", "acr") if is_persons else ()))
    times = ("iat", "exp", *(("auth_time",) if is_persons else ()))
    audience, amr = _strings(payload.get("aud")), _strings(payload.get("amr")) if is_persons else ()
    is_sound = (
        all(type(payload.get(name)) is str for name in texts)
        and all(type(payload.get(name)) is int for name in times)
        and payload["iss"] == issuer
        and audience
        and (amr or not is_persons)
    )
    if not is_sound:
        raise UnreadableTokenError
    return Claims(
        subject=payload["sub"],
        client_id=payload["client_id"],
        audience=audience,
        scopes=frozenset(payload["scope"].split()),
        token_id=payload["jti"],
        issued_at=payload["iat"],
        expires_at=payload["exp"],
        session_id=payload.get("sid"),
        acr=payload["acr"] if is_persons else None,
        amr=amr,
    )


def _strings(value: object) -> tuple[str, ...]:
    """A string or a list of strings as a tuple; empty for anything else."""
    items: list[Any] = value if isinstance(value, list) else [value]
    return tuple(items) if all(type(item) is str for item in items) else ()


def _is_fit(alg: str, public: object) -> bool:
    match alg, public:
        case "ES256", ec.EllipticCurvePublicKey():
            return isinstance(public.curve, ec.SECP256R1)
        case "EdDSA", ed25519.Ed25519PublicKey():
            return True
        case "RS256", rsa.RSAPublicKey():
            return public.key_size >= _RSA_BITS
        case _:
            return False


def _is_canonical(signature: bytes, public: PublicKey) -> bool:
    """ECDSA has a twin, (r, n-s), for any (r, s); the others have one by another spelling of a number."""
    if isinstance(public, rsa.RSAPublicKey):
        number = int.from_bytes(signature, "big")
        return len(signature) * 8 == public.key_size and number < public.public_numbers().n
    if len(signature) != 2 * _COORDINATE_BYTES:
        return False
    if isinstance(public, ec.EllipticCurvePublicKey):
        return 0 < int.from_bytes(signature[_COORDINATE_BYTES:], "big") <= _P256_ORDER // 2
    return int.from_bytes(signature[_COORDINATE_BYTES:], "little") < _ED25519_ORDER
