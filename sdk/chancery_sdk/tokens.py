"""Checks access tokens in this process: signatures by published keys, revocations as Chancery pushes them.

No check waits for the network. While this process does not know what is revoked, or by which keys is signed, it says so,
and nobody is let in.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from chancery_sdk.claims import (
    CLOCK_SKEW_SECONDS,
    Claims,
    Key,
    UnreadableTokenError,
    key_id_of,
    read_claims,
)

STALE_SECONDS = 5.0
"""Older knowledge of revocations is not believed."""
KEYS_SECONDS = 600.0
"""Nor are keys that were not read again for so long."""
MOST_CACHED = 100_000


class InvalidTokenError(Exception):
    """The token lets nobody in: malformed, of others, expired, or revoked. Answer 401."""


class UnknownKeyError(InvalidTokenError):
    """The token names a key that is not known here. It may be a new one."""


class StaleError(Exception):
    """It cannot be known now whether a token was revoked. Answer 503."""


@dataclass(slots=True)
class Knowledge:
    """What was read of Chancery, and when; monotonic seconds. `revoked` has the ids of sessions, clients and tokens."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    keys_at: float = float("-inf")
    revoked: dict[str, int] = field(default_factory=dict)
    """By id: milliseconds since 1970 after which no token can be valid any more."""
    complete_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Checked:
    claims: Claims
    kid: str
    expires_at: int
    concerns: tuple[str, ...]


class TokenVerifier:
    """`knowledge` is kept up to date by somebody else, as `chancery_sdk.token_feed` does."""

    def __init__(
        self,
        knowledge: Knowledge,
        *,
        issuer: str,
        audience: str,
        stale_seconds: float = STALE_SECONDS,
        most_cached: int = MOST_CACHED,
    ) -> None:
        self._knowledge = knowledge
        self._issuer = issuer
        self._audience = audience
        self._stale_seconds = stale_seconds
        self._most_cached = most_cached
        self._checked: dict[str, _Checked] = {}

    def verify(self, token: str) -> Claims:
        """What an active token says. InvalidTokenError or StaleError for any other."""
        knowledge = self._knowledge
        checked = self._checked.get(token)
        if checked is None or checked.kid not in knowledge.keys:
            checked = self._check(token)
        if time.time() >= checked.expires_at:
            raise InvalidTokenError("the token has expired")
        for named in checked.concerns:
            if named in knowledge.revoked:
                raise InvalidTokenError("the token was revoked")
        now = time.monotonic()
        if now - knowledge.complete_at > self._stale_seconds or now - knowledge.keys_at > KEYS_SECONDS:
            raise StaleError("it is not known now which tokens are revoked")
        return checked.claims

    def _check(self, token: str) -> _Checked:
        try:
            kid = key_id_of(token)
            key = self._knowledge.keys.get(kid)
            if key is None:
                raise UnknownKeyError("the token's key is not known")
            claims = read_claims(token, key, self._issuer)
        except UnreadableTokenError:
            raise InvalidTokenError("the token is not one of Chancery's") from None
        if self._audience not in claims.audience:
            raise InvalidTokenError("the token is for others")
        if claims.issued_at > time.time() + CLOCK_SKEW_SECONDS:
            raise InvalidTokenError("the token is from the future")
        belongs_to = claims.session_id or claims.client_id
        checked = _Checked(claims, kid, claims.expires_at, (belongs_to, claims.token_id))
        self._keep(token, checked)
        return checked

    def _keep(self, token: str, checked: _Checked) -> None:
        """The oldest goes first, which is about the order in which they expire."""
        now = time.time()
        while self._checked:
            oldest = next(iter(self._checked))
            if len(self._checked) < self._most_cached and now < self._checked[oldest].expires_at:
                break
            del self._checked[oldest]
        if self._most_cached:
            self._checked[token] = checked
