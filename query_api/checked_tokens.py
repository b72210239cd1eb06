"""Access tokens whose signature held, so that it is checked once. Whether they live is asked every time.

Law: the cache is keyed by a digest of the whole token, and an entry serves only while its key is among ours and its
time is not over. So an entry can answer nothing that a fresh look at the token would not.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from readmodels.revoked_tokens import TokenIds
from runtime.access_token import Claims
from runtime.serving.answers import empty_answer, json_answer
from runtime.serving.ready import ReadyAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedToken:
    """`kid` is the key that signed it; the answers are those of RFC 7662 and of forward-auth if it lives."""

    claims: Claims
    kid: str
    ids: TokenIds
    answer: ReadyAnswer
    let_in: ReadyAnswer

    @classmethod
    def of(cls, claims: Claims, kid: str) -> "CheckedToken":
        ids = ids_of(claims)
        answer = ReadyAnswer.of(json_answer(200, access_members(claims)))
        let_in = ReadyAnswer.of(empty_answer(200, identity(claims)))
        return cls(claims=claims, kid=kid, ids=ids, answer=answer, let_in=let_in)


def ids_of(claims: Claims) -> TokenIds:
    return TokenIds(
        session_id=claims.session_id,
        jti=claims.token_id,
        client_id=claims.client_id if claims.session_id is None else None,
    )


class CheckedTokens:
    """At most so many; the one that came first goes first, which is about the order in which they expire."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[bytes, CheckedToken] = {}

    def __len__(self) -> int:
        return len(self._found)

    def find(self, token: str, keys: Mapping[str, Any], now: float) -> CheckedToken | None:
        """`now` in seconds since 1970."""
        found = self._found.get(_digest(token))
        if found is None or now >= found.claims.expires_at or found.kid not in keys:
            return None
        return found

    def keep(self, token: str, checked: CheckedToken, now: float) -> None:
        if self._most == 0:
            return
        while self._found:
            oldest = next(iter(self._found))
            if len(self._found) < self._most and now < self._found[oldest].claims.expires_at:
                break
            del self._found[oldest]
        self._found[_digest(token)] = checked


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def identity(claims: Claims) -> dict[str, str]:
    """The headers by which a gateway tells a service who asks."""
    scopes = {"x-auth-scopes": claims.scope}
    if claims.session_id is None:
        return {"x-auth-client": claims.client_id, **scopes}
    return {"x-auth-account": claims.subject, "x-auth-session": claims.session_id, **scopes}


def access_members(claims: Claims) -> dict[str, Any]:
    """What RFC 7662 section 2.2 tells of an active access token."""
    members: dict[str, Any] = {
        "active": True,
        "sub": claims.subject,
        "client_id": claims.client_id,
        "scope": claims.scope,
        "exp": claims.expires_at,
        "iat": claims.issued_at,
        "iss": claims.issuer,
        "aud": claims.audience[0] if len(claims.audience) == 1 else list(claims.audience),
        "jti": claims.token_id,
        "token_type": "Bearer",
    }
    if claims.session_id is not None:
        members |= {"sid": claims.session_id, "acr": claims.acr, "amr": list(claims.amr)}
    return members
