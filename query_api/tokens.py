"""Token checks: signature and claims here, revocation from the stores, and no answer without proof."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from query_api.checked_tokens import CheckedToken, CheckedTokens, access_members, ids_of
from query_api.key_set import KeySet
from query_api.positions import position_header
from readmodels.live_sessions import LiveSession, LiveSessions
from readmodels.revocations import Revocations
from readmodels.revoked_tokens import TokenIds
from runtime.access_token import Claims, key_named_by, verify_access_token
from runtime.clock import Clock
from runtime.refresh_token import RefreshToken, parse_refresh_token

Ask = Literal["first", "at-position"]
"""Whom to ask about a revocation: the first store that can tell, or also the tables whose position was waited for."""


_AT_ONCE = 16
"""How many tokens of a batch may ask the stores at the same time."""


class CannotKnowError(Exception):
    """No store can tell now whether the token was revoked. The answer is 503, never "active"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """`most_cached` is how many tokens are kept of which the signature held."""

    issuer: str
    audience: str
    most_cached: int


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
        self._checked = CheckedTokens(rules.most_cached)
        self.of_unknown_keys = 0
        """Tokens that named a signing key which does not exist, since the start."""
        self.rules = rules

    def look(self, token: str) -> CheckedToken | Literal["inactive", "unsure"]:
        """What memory alone can tell of an access token: the active one, or that it is none, or that stores must be asked."""
        checked = self._signed(token)
        if checked is None:
            return "inactive" if key_named_by(token) in self._key_set.by_kid else "unsure"
        verdict = self._revocations.feed.verdict(checked.ids)
        if verdict == "live":
            return checked
        return "inactive" if verdict == "revoked" else "unsure"

    @property
    def cached(self) -> int:
        """Access tokens that are kept because their signature held."""
        return len(self._checked)

    async def knows_revocations(self) -> bool:
        """Whether anybody can tell now what was revoked."""
        return await self._revocations.verdict(TokenIds(session_id=None, jti="none")) != "unknown"

    def position(self) -> dict[str, str]:
        """The header that says which revocations an answer from memory shows at least."""
        seqs = self._revocations.feed.seqs
        return position_header({partition: seq for partition, seq in enumerate(seqs) if seq >= 0})

    def is_known_as_revoked(self, claims: Claims) -> bool:
        """Whether the feed says so; no store is asked."""
        return self._revocations.feed.verdict(ids_of(claims)) == "revoked"

    def is_client_gone(self, client_id: str) -> bool:
        """Whether the feed says that it was deleted."""
        return client_id in self._revocations.feed.revoked["client"]

    async def access_claims(self, token: str, ask: Ask = "first") -> Claims | None:
        """The claims of an active access token, None for any other. CannotKnowError if nobody can tell."""
        checked = await self._active(token, ask)
        return None if checked is None else checked.claims

    async def introspect(self, token: str, ask: Ask) -> dict[str, Any]:
        """RFC 7662 section 2.2: what an active access or refresh token says, else only `active: false`."""
        refresh = parse_refresh_token(self._refresh_key, token)
        if refresh is not None:
            return await self._introspect_refresh(refresh, ask)
        checked = await self._active(token, ask)
        return {"active": False} if checked is None else access_members(checked.claims)

    async def introspect_all(self, tokens: Sequence[str], ask: Ask) -> list[dict[str, Any]]:
        """As `introspect`, in the tokens' order."""
        found: list[dict[str, Any]] = []
        for few in range(0, len(tokens), _AT_ONCE):
            asked = (self.introspect(token, ask) for token in tokens[few : few + _AT_ONCE])
            found += await asyncio.gather(*asked)
        return found

    async def _active(self, token: str, ask: Ask) -> CheckedToken | None:
        if not self._key_set.keys:
            raise CannotKnowError
        checked = self._signed(token)
        if checked is None and await self._has_a_new_key(token):
            checked = self._signed(token)
        if checked is None:
            return None
        return checked if await self._is_live(checked.ids, ask) else None

    def _signed(self, token: str) -> CheckedToken | None:
        """A token that was signed here and is not expired."""
        at, keys = self._clock(), self._key_set.by_kid
        found = self._checked.find(token, keys, at.timestamp())
        if found is not None:
            return found
        claims = verify_access_token(token, keys, issuer=self.rules.issuer, at=at)
        kid = None if claims is None else key_named_by(token)
        if claims is None or kid is None:
            return None
        checked = CheckedToken.of(claims, kid)
        self._checked.keep(token, checked, at.timestamp())
        return checked

    async def _has_a_new_key(self, token: str) -> bool:
        """Whether it names a key that was not known here yet; CannotKnowError if there may be such a key."""
        kid = key_named_by(token)
        if kid is None or kid in self._key_set.by_kid:
            return False
        if await self._key_set.has_or_finds(kid):
            return True
        if not self._key_set.is_complete:
            raise CannotKnowError
        self.of_unknown_keys += 1
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

    async def _is_live(self, ids: TokenIds, ask: Ask) -> bool:
        revocations = self._revocations
        verdict = revocations.verdict if ask == "first" else revocations.verdict_at_position
        answer = await verdict(ids)
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
