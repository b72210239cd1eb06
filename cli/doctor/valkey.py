"""Valkey or Redis: whether it answers, is new enough, forgets nothing by itself, and how old its revocations are."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from cli.doctor.finding import Finding, green, red, yellow
from readmodels.revocations import RevocationView
from readmodels.revoked_tokens import TokenIds
from runtime.redis import StoreFacts, Valkey
from runtime.settings import Settings

VALKEY = "Valkey"
FEED = "revocation feed"
OLDEST = (7, 0)
_SECONDS = 2.0
_FULL = 0.9


@contextlib.asynccontextmanager
async def opened_valkey(settings: Settings) -> AsyncIterator[Valkey]:
    valkey = Valkey.open(settings.redis_url.get_secret_value(), timeout_seconds=_SECONDS)
    try:
        yield valkey
    finally:
        await valkey.close()


async def server(settings: Settings) -> Sequence[Finding]:
    async with opened_valkey(settings) as valkey:
        return [judged(await valkey.facts())]


def judged(facts: StoreFacts) -> Finding:
    keeps = "on disk too" if facts.has_append_only_file else "in memory, rebuilt from the log after a restart"
    said = f"{facts.product} {facts.version}, {facts.memory_policy}, {keeps}"
    number = tuple(int(part) for part in facts.version.split(".")[:2] if part.isdecimal())
    if number < OLDEST:
        return red(VALKEY, said, "Chancery needs Valkey, or Redis 7 or later: upgrade.")
    if facts.memory_policy != "noeviction":
        said = f"maxmemory-policy is {facts.memory_policy}, so it could forget revocations"
        return red(VALKEY, said, "Set `maxmemory-policy noeviction` in its configuration.")
    if facts.most_bytes and facts.used_bytes > _FULL * facts.most_bytes:
        full = f"{said}; {facts.used_bytes / facts.most_bytes:.0%} of its memory is used"
        return yellow(VALKEY, full, "Raise `maxmemory` before writes are refused.")
    return green(VALKEY, said)


async def revocation_feed(settings: Settings) -> Sequence[Finding]:
    """How long ago Valkey was complete: what query processes believe, and what their own feeds follow."""
    async with opened_valkey(settings) as valkey:
        view = RevocationView(valkey, partitions=settings.partitions)
        answer = await view.check(TokenIds(session_id=None, jti="doctor"))
    advice = "See `chancery projections status`, and whether the projectors reach Valkey."
    if answer.age is None:
        return [red(FEED, "a partition has no mark of when it was complete", advice)]
    age, most = answer.age.total_seconds(), settings.revocation_stale_seconds
    said = f"complete {age:.1f} s ago"
    if age > most:
        return [red(FEED, f"{said}, and more than {most:g} s are not believed", advice)]
    return [green(FEED, said)]
