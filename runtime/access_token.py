"""Access tokens: JWTs by RFC 9068, signed here and accepted in exactly one spelling.

PyJWT's algorithms sign and check signatures. What JWTs are lenient about is refused here: any base64url but the canonical
one, a header with more than `alg`, `kid` and `typ`, a member twice, times that are no integers; and by `runtime.signing`
any but one form of the signature. Nothing of the payload is read before its signature held.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any

from runtime.encoding import parse_base64url
from runtime.signing import SigningKey, VerificationKey, is_signed, sign
from runtime.strict_json import StrictJsonError, parse_strict

MAX_TOKEN_BYTES = 8192
TYPE = "at+jwt"
CLOCK_SKEW_SECONDS = 30
_PARTS = 3
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
    header = _header(parts[0]) if len(parts) == _PARTS else None
    key = None if header is None else keys.get(header.kid)
    if header is None or key is None or header.alg != key.alg or not header.is_ours:
        return None
    payload_raw, signature = parse_base64url(parts[1]), parse_base64url(parts[2])
    if payload_raw is None or signature is None:
        return None
    signed = token[: len(parts[0]) + 1 + len(parts[1])].encode()
    if not is_signed(signed, signature, key):
        return None
    payload = _members(payload_raw)
    return None if payload is None else _claims(payload, issuer)


def key_named_by(token: str) -> str | None:
    """The kid that the header names, of a token of which nothing was checked; None where there is none."""
    parts = token.split(".") if len(token) <= MAX_TOKEN_BYTES else []
    header = _header(parts[0]) if len(parts) == _PARTS else None
    return None if header is None else header.kid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """`is_ours`: it has the members and the type of a token that is signed here."""

    kid: str
    alg: object
    is_ours: bool


@lru_cache(maxsize=64)
def _header(text: str) -> _Header | None:
    """Parsed once: all tokens by one key have the same. None if it names no key."""
    raw = parse_base64url(text)
    header = None if raw is None else _members(raw)
    if header is None or not isinstance(header.get("kid"), str):
        return None
    is_ours = set(header) == {"alg", "kid", "typ"} and header["typ"] == TYPE
    return _Header(kid=header["kid"], alg=header.get("alg"), is_ours=is_ours)


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
            "acr": intern(payload["acr"]),
            "amr": _shared(amr),
        }
    return Claims(
        issuer=issuer,
        subject=payload["sub"],
        audience=_shared(audience),
        client_id=intern(payload["client_id"]),
        scope=intern(payload["scope"]),
        token_id=payload["jti"],
        issued_at=payload["iat"],
        expires_at=payload["exp"],
        **person,
    )


@lru_cache(maxsize=256)
def _shared(strings: tuple[str, ...]) -> tuple[str, ...]:
    """The same object for all tokens that say the same: they are kept by the hundred thousand."""
    return strings


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
