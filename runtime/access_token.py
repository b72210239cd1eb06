"""Access tokens: JWTs by RFC 9068, signed here and accepted in exactly one spelling.

PyJWT signs and checks signatures. What it is lenient about is checked here first: one canonical base64url
form, a header with nothing but `alg`, `kid` and `typ`, no member twice, integer times; and by `runtime.signing`
one form of the signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from runtime.encoding import parse_base64url
from runtime.signing import SigningKey, VerificationKey, is_canonical, sign
from runtime.strict_json import StrictJsonError, parse_strict

MAX_TOKEN_BYTES = 8192
TYPE = "at+jwt"
CLOCK_SKEW_SECONDS = 30
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


def sign_access_token(claims: Claims, key: SigningKey) -> str:
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
    return sign(payload, {"typ": TYPE}, key)


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
    if header_raw is None or payload_raw is None or signature is None:
        return None
    header, payload = _members(header_raw), _members(payload_raw)
    if header is None or payload is None or set(header) != {"alg", "kid", "typ"} or header["typ"] != TYPE:
        return None
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None or header["alg"] != key.alg or not is_canonical(signature, key):
        return None
    try:
        _JWS.decode(token, key.key, algorithms=[key.alg])
    except jwt.InvalidTokenError:
        return None
    return _claims(payload, issuer)


def key_named_by(token: str) -> str | None:
    """The kid that the header names, of a token of which nothing was checked; None where there is none."""
    parts = token.split(".") if len(token) <= MAX_TOKEN_BYTES else []
    header_raw = parse_base64url(parts[0]) if len(parts) == _PARTS else None
    header = None if header_raw is None else _members(header_raw)
    kid = None if header is None else header.get("kid")
    return kid if isinstance(kid, str) else None


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
