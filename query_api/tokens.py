"""Token checks: signature and claims here, revocation from the stores, and no answer without proof."""

from dataclasses import dataclass
from typing import Any, Literal

from query_api.key_set import KeySet
from readmodels.live_sessions import LiveSession, LiveSessions
from readmodels.revocations import Revocations
from runtime.access_token import Claims, key_named_by, verify_access_token
from runtime.clock import Clock
from runtime.refresh_token import RefreshToken, parse_refresh_token

Ask = Literal["first", "at-position"]
"""Whom to ask about a revocation: the first store that can tell, or also the tables whose position was waited for."""


class CannotKnowError(Exception):
    """No store can tell now whether the token was revoked. The answer is 503, never "active"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    issuer: str
    audience: str


class TokenChecks:
    def __init__(
        self,
        key_set: KeySet,
        revocations: Revocations,
        sessions: LiveSessions,
        clock: Clock,
        rules: TokenRules,
        refresh_key: bytes,
    ) -> None:
        self._key_set = key_set
        self._revocations = revocations
        self._sessions = sessions
        self._clock = clock
        self._refresh_key = refresh_key
        self.rules = rules

    async def access_claims(self, token: str, ask: Ask = "first") -> Claims | None:
        """The claims of an active access token, None for any other. CannotKnowError if nobody can tell."""
        if not self._key_set.keys:
            raise CannotKnowError
        claims = self._signed_claims(token)
        if claims is None and await self._has_a_new_key(token):
            claims = self._signed_claims(token)
        if claims is None:
            return None
        return claims if await self._is_live(claims, ask) else None

    async def introspect(self, token: str, ask: Ask) -> dict[str, Any]:
        """RFC 7662 section 2.2: what an active access or refresh token says, else only `active: false`."""
        refresh = parse_refresh_token(self._refresh_key, token)
        if refresh is not None:
            return await self._introspect_refresh(refresh, ask)
        claims = await self.access_claims(token, ask)
        return {"active": False} if claims is None else _access_members(claims)

    def _signed_claims(self, token: str) -> Claims | None:
        return verify_access_token(token, self._key_set.by_kid, issuer=self.rules.issuer, at=self._clock())

    async def _has_a_new_key(self, token: str) -> bool:
        """Whether it names a key that was not known here yet; CannotKnowError if there may be such a key."""
        kid = key_named_by(token)
        if kid is None or kid in self._key_set.by_kid:
            return False
        if await self._key_set.has_or_finds(kid):
            return True
        if not self._key_set.is_complete:
            raise CannotKnowError
        return False

    async def _introspect_refresh(self, token: RefreshToken, ask: Ask) -> dict[str, Any]:
        find = self._sessions.find if ask == "first" else self._sessions.find_in_tables
        session = await find(token.session_id)
        if session == "unknown":
            raise CannotKnowError
        is_current = (
            isinstance(session, LiveSession)
            and session.account_id == token.account_id
            and session.generation == token.generation
            and self._clock() < session.refresh_expires_at
        )
        if not isinstance(session, LiveSession) or not is_current:
            return {"active": False}
        return _refresh_members(session, self.rules)

    async def _is_live(self, claims: Claims, ask: Ask) -> bool:
        revocations = self._revocations
        verdict = revocations.verdict if ask == "first" else revocations.verdict_at_position
        client_id = claims.client_id if claims.session_id is None else None
        answer = await verdict(claims.session_id, claims.token_id, client_id)
        if answer == "unknown":
            raise CannotKnowError
        return answer == "live"


def _refresh_members(session: LiveSession, rules: TokenRules) -> dict[str, Any]:
    return {
        "active": True,
        "sub": session.account_id,
        "sid": session.session_id,
        "client_id": session.client_id,
        "scope": session.scope,
        "exp": int(session.refresh_expires_at.timestamp()),
        "iat": int(session.refreshed_at.timestamp()),
        "iss": rules.issuer,
        "aud": rules.audience,
        "token_type": "refresh_token",
        "acr": session.acr,
        "amr": list(session.amr),
    }


def _access_members(claims: Claims) -> dict[str, Any]:
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
