"""Whether a token was revoked: memory says so, or Valkey in one round trip, or PostgreSQL, or nobody knows.

"Live" needs proof: somebody who was complete a moment ago. A feed or store that is behind, empty or silent is not
believed, and `unknown` is the answer when none can be.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from readmodels import valkey_keys as keys
from readmodels.revocation_feed import RevocationFeed
from readmodels.revoked_tokens import TokenIds, Verdict, table_verdicts
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError
from runtime.redis import Valkey, ValkeyUnavailableError

DEADLINE_SECONDS = 0.5
"""Valkey's own patience ends sooner; the rest is PostgreSQL's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """`age` is that of the oldest partition's freshness mark; None if a partition has none to believe."""

    is_revoked: bool
    age: timedelta | None


class RevocationView:
    """What Valkey knows."""

    def __init__(self, valkey: Valkey, *, partitions: int) -> None:
        self._check = valkey.script(keys.CHECK)
        self._partitions = partitions

    async def check(self, token: TokenIds) -> RevocationAnswer:
        return (await self.check_many([token]))[0]

    async def check_many(self, tokens: Sequence[TokenIds]) -> tuple[RevocationAnswer, ...]:
        """In the tokens' order, in one round trip. ValkeyUnavailableError if it does not answer."""
        asked = [key for token in tokens for key in _keys_of(token)]
        answer: Any = await self._check([keys.FRESH, *asked], [self._partitions])
        age_ms, flags = int(answer[0]), str(answer[1])
        age = timedelta(milliseconds=age_ms) if age_ms >= 0 else None
        return tuple(RevocationAnswer(is_revoked=flag == "1", age=age) for flag in flags)


class Revocations:
    """Verdicts of the feed where it is fresh, else of Valkey, else of PostgreSQL, within one deadline."""

    def __init__(
        self,
        feed: RevocationFeed,
        view: RevocationView,
        postgres: Postgres,
        *,
        partitions: int,
        stale: timedelta,
    ) -> None:
        self.feed = feed
        self._view = view
        self._postgres = postgres
        self._partitions = partitions
        self._stale = stale

    async def verdict(self, token: TokenIds) -> Verdict:
        return (await self.verdicts([token]))[0]

    async def verdict_at_position(self, token: TokenIds) -> Verdict:
        """For who waited for a position of the tables: they must be fresh themselves, and nobody else object."""
        verdict = (await self._from_tables([token], DEADLINE_SECONDS))[0]
        if verdict != "live":
            return verdict
        if self.feed.verdict(token) == "revoked":
            return "revoked"
        return "revoked" if (await self._from_valkey([token], DEADLINE_SECONDS))[0] == "revoked" else "live"

    async def verdicts(self, tokens: Sequence[TokenIds]) -> tuple[Verdict, ...]:
        """In the tokens' order."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        found = [self.feed.verdict(token) for token in tokens]
        for ask in (self._from_valkey, self._from_tables):
            still_open = [number for number, verdict in enumerate(found) if verdict == "unknown"]
            if not still_open:
                break
            asked = [tokens[number] for number in still_open]
            verdicts = await ask(asked, deadline - time.monotonic())
            for number, verdict in zip(still_open, verdicts, strict=True):
                found[number] = verdict
        return tuple(found)

    async def _from_valkey(self, tokens: Sequence[TokenIds], seconds: float) -> Sequence[Verdict]:
        try:
            async with asyncio.timeout(seconds):
                answers = await self._view.check_many(tokens)
        except (ValkeyUnavailableError, TimeoutError):
            return ["unknown"] * len(tokens)
        return [self._judged(answer) for answer in answers]

    async def _from_tables(self, tokens: Sequence[TokenIds], seconds: float) -> Sequence[Verdict]:
        try:
            async with asyncio.timeout(seconds):
                return await table_verdicts(
                    self._postgres, tokens, partitions=self._partitions, stale=self._stale
                )
        except (PostgresUnavailableError, PostgresRejectedError, TimeoutError):
            return ["unknown"] * len(tokens)

    def _judged(self, answer: RevocationAnswer) -> Verdict:
        if answer.is_revoked:
            return "revoked"
        return "live" if answer.age is not None and answer.age <= self._stale else "unknown"


def _keys_of(token: TokenIds) -> tuple[str, str]:
    """The key of the token itself, and the key of what it belongs to: a session or a client."""
    jti = keys.revoked_jti(token.jti)
    if token.session_id is not None:
        return keys.revoked_session(token.session_id), jti
    return (jti if token.client_id is None else keys.revoked_client(token.client_id)), jti
