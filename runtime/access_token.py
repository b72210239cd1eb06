"""Access tokens: JWTs by RFC 9068, signed here and accepted in exactly one spelling.

PyJWT signs and checks signatures. What it is lenient about is checked here first: one canonical base64url
form, a header with nothing but `alg`, `kid` and `typ`, no member twice, low `s`, integer times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from runtime.encoding import base64url, parse_base64url
from runtime.strict_json import StrictJsonError, parse_strict

MAX_TOKEN_BYTES = 8192
ALGORITHM = "ES256"
TYPE = "at+jwt"
CLOCK_SKEW_SECONDS = 30
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE_BYTES = 32
_PARTS = 3
_JWS = jwt.PyJWS()
_PERSON_CLAIMS = {"sid": str, "auth_time": int, "acr": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """`session_id` and what belongs to it are None in a machine client's token."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    client_id: str
    scope: str
    token_id: str
    issued_at: int
    expires_at: int
    session_id: str | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    kid: str
    alg: str
    key: ec.EllipticCurvePublicKey


def sign_access_token(claims: Claims, *, kid: str, private_pem: str) -> str:
    payload: dict[str, Any] = {
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audience[0] if len(claims.audience) == 1 else list(claims.audience),
        "exp": claims.expires_at,
        "iat": claims.issued_at,
        "jti": claims.token_id,
        "client_id": claims.client_id,
        "scope": claims.scope,
    }
    if claims.session_id is not None:
        payload |= {"sid": claims.session_id, "auth_time": claims.auth_time}
        payload |= {"amr": list(claims.amr), "acr": claims.acr}
    signed = jwt.encode(payload, private_pem, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": kid})
    return _with_low_s(signed)


def verify_access_token(
    token: str, keys: Mapping[str, VerificationKey], *, issuer: str, at: datetime
) -> Claims | None:
    """The claims of a token that was signed here and is not expired; None for everything else."""
    claims = verify_signature(token, keys, issuer=issuer)
    if claims is None or int(at.timestamp()) >= claims.expires_at:
        return None
    return claims if claims.issued_at <= at.timestamp() + CLOCK_SKEW_SECONDS else None


def verify_signature(token: str, keys: Mapping[str, VerificationKey], *, issuer: str) -> Claims | None:
    """The claims of a token that was signed here, expired or not; None for everything else."""
    parts = token.split(".") if len(token) <= MAX_TOKEN_BYTES else []
    if len(parts) != _PARTS:
        return None
    header_raw, payload_raw, signature = (parse_base64url(part) for part in parts)
    if header_raw is None or payload_raw is None or signature is None or not _is_low_s(signature):
        return None
    header, payload = _members(header_raw), _members(payload_raw)
    if header is None or payload is None or set(header) != {"alg", "kid", "typ"} or header["typ"] != TYPE:
        return None
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None or header["alg"] != key.alg:
        return None
    try:
        _JWS.decode(token, key.key, algorithms=[key.alg])
    except jwt.InvalidTokenError:
        return None
    return _claims(payload, issuer)


def new_signing_key() -> tuple[str, tuple[tuple[str, str], ...]]:
    """A fresh P-256 key: PKCS #8 PEM and the public JWK's members (RFC 7517) in order of name."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return pem.decode(), tuple(sorted((name, str(jwk[name])) for name in ("crv", "kty", "x", "y")))


def verification_key(kid: str, alg: str, public_jwk: Mapping[str, str]) -> VerificationKey:
    key = ECAlgorithm.from_jwk(dict(public_jwk))
    assert isinstance(key, ec.EllipticCurvePublicKey), "only public P-256 keys are stored"
    return VerificationKey(kid=kid, alg=alg, key=key)


def _claims(payload: dict[str, Any], issuer: str) -> Claims | None:
    texts = ("iss", "sub", "client_id", "scope", "jti")
    if any(type(payload.get(name)) is not str for name in texts) or payload["iss"] != issuer:
        return None
    if type(payload.get("exp")) is not int or type(payload.get("iat")) is not int:
        return None
    audience = _strings(payload.get("aud"))
    if not audience:
        return None
    person: dict[str, Any] = {}
    if "sid" in payload:
        amr = _strings(payload.get("amr"))
        if any(type(payload.get(name)) is not kind for name, kind in _PERSON_CLAIMS.items()) or not amr:
            return None
        person = {
            "session_id": payload["sid"],
            "auth_time": payload["auth_time"],
            "acr": payload["acr"],
            "amr": amr,
        }
    return Claims(
        issuer=payload["iss"],
        subject=payload["sub"],
        audience=audience,
        client_id=payload["client_id"],
        scope=payload["scope"],
        token_id=payload["jti"],
        issued_at=payload["iat"],
        expires_at=payload["exp"],
        **person,
    )


def _strings(value: object) -> tuple[str, ...]:
    """A string or a list of strings as a tuple; empty for anything else."""
    items: list[Any] = value if isinstance(value, list) else [value]
    return tuple(items) if all(type(item) is str for item in items) else ()


def _members(raw: bytes) -> dict[str, Any] | None:
    try:
        value = parse_strict(raw)
    except StrictJsonError:
        return None
    return value if isinstance(value, dict) else None


def _is_low_s(signature: bytes) -> bool:
    """Of (r, s) and (r, n-s), both valid, only the lower is ours: a revoked token has no twin."""
    s = int.from_bytes(signature[_COORDINATE_BYTES:], "big")
    return len(signature) == 2 * _COORDINATE_BYTES and 0 < s <= _P256_ORDER // 2


def _with_low_s(token: str) -> str:
    signed, _, signature_text = token.rpartition(".")
    signature = parse_base64url(signature_text)
    assert signature is not None
    if _is_low_s(signature):
        return token
    s = _P256_ORDER - int.from_bytes(signature[_COORDINATE_BYTES:], "big")
    return f"{signed}.{base64url(signature[:_COORDINATE_BYTES] + s.to_bytes(_COORDINATE_BYTES, 'big'))}"
