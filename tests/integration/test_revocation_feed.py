"""Revocations in memory: what the feed knows while a real Valkey gains, loses and forgets entries."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import redis

from eventstore.memory_log import MemoryLog
from readmodels import valkey_keys as keys_of
from readmodels.revocation_feed import GapError, RevocationFeed
from readmodels.revoked_tokens import TokenIds, Verdict
from runtime.redis import Valkey
from tests.support.memory_keys import KeyTopic
from tests.support.runners import PARTITIONS, revoke_one, valkey_runner
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

ENOUGH = timedelta(seconds=60)
STALE = timedelta(seconds=1)


def feed_of(valkey: Valkey, stale: timedelta = ENOUGH) -> RevocationFeed:
    return RevocationFeed(valkey, partitions=PARTITIONS, stale=stale)


async def says(feed: RevocationFeed, session_id: str, verdict: Verdict) -> bool:
    return feed.verdict(TokenIds(session_id=session_id, jti="j")) == verdict


@asynccontextmanager
async def followed(valkey: Valkey) -> AsyncIterator[tuple[MemoryLog, KeyTopic, Scribe]]:
    """A log that a projector follows into Valkey."""
    log, keys = await new_log(PARTITIONS), KeyTopic()
    async with running(valkey_runner(log, keys, valkey).run()):
        yield log, keys, Scribe(log, keys.keyring())


@asynccontextmanager
async def knowing(
    valkey: Valkey, stale: timedelta = ENOUGH
) -> AsyncIterator[tuple[RevocationFeed, Scribe, str, str]]:
    """A feed that follows and is fresh, who writes the log, and the ids of a session that was ended and one that was not."""
    feed = feed_of(valkey, stale)
    async with followed(valkey) as (_, _, scribe), running(feed.run()):
        ended, kept = await revoke_one(scribe)
        await eventually(lambda: says(feed, kept, "live"))
        yield feed, scribe, ended, kept


async def test_what_was_revoked_before_and_after_the_start_is_known(valkey: Valkey) -> None:
    feed = feed_of(valkey)
    async with followed(valkey) as (_, _, scribe):
        before, kept = await revoke_one(scribe)
        assert await says(feed, kept, "unknown")
        async with running(feed.run()):
            await eventually(lambda: says(feed, kept, "live"))
            await eventually(lambda: says(feed, before, "revoked"))
            after, _ = await revoke_one(scribe)
            await eventually(lambda: says(feed, after, "revoked"), within_seconds=1)
            assert await says(feed, kept, "live")
            assert {revocation.id for revocation in feed} == {before, after}
            assert all(revocation.position.count(":") == 1 for revocation in feed)


async def test_clients_and_single_tokens_are_refused_by_their_ids(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    async with knowing(valkey) as (feed, _, _, kept):
        add(valkey_admin, "jti", "j1")
        add(valkey_admin, "client", "c1")
        await eventually(lambda: says_of(feed, TokenIds(session_id=None, jti="j1", client_id="c"), "revoked"))
        await eventually(
            lambda: says_of(feed, TokenIds(session_id=None, jti="j2", client_id="c1"), "revoked")
        )
        assert await says_of(feed, TokenIds(session_id=kept, jti="j1"), "revoked")
        assert await says_of(feed, TokenIds(session_id=None, jti="j2", client_id="c2"), "live")


async def test_an_entry_that_never_came_is_noticed_and_everything_read_again(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    async with knowing(valkey) as (feed, scribe, _, _):
        add(valkey_admin, "session", "lost on the way", is_trimmed=True)
        await eventually(lambda: says(feed, "lost on the way", "revoked"))
        after, _ = await revoke_one(scribe)
        await eventually(lambda: says(feed, after, "revoked"))


async def test_more_entries_than_fit_into_one_answer_all_come(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    async with knowing(valkey) as (feed, _, _, kept):
        for number in range(2500):
            add(valkey_admin, "session", f"s{number}")
        await eventually(lambda: says(feed, "s2499", "revoked"))
        assert all([await says(feed, f"s{number}", "revoked") for number in range(2500)])
        started_later = feed_of(valkey)
        async with running(started_later.run()):
            await eventually(lambda: says(started_later, kept, "live"))
            assert {revocation.id for revocation in started_later} == {revocation.id for revocation in feed}


async def test_a_flushed_valkey_revives_nothing_and_stales_until_it_is_rebuilt(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    feed = feed_of(valkey, STALE)
    log, keys = await new_log(PARTITIONS), KeyTopic()
    ended, kept = await revoke_one(Scribe(log, keys.keyring()))
    async with running(feed.run()):
        async with running(valkey_runner(log, keys, valkey).run()):
            await eventually(lambda: says(feed, kept, "live"))
        valkey_admin.flushall()
        until = time.monotonic() + STALE.total_seconds() + 0.5
        while time.monotonic() < until:
            assert await says(feed, ended, "revoked")
            await feed_turn()
        assert await says(feed, kept, "unknown")
        async with running(valkey_runner(log, keys, valkey).run()):
            await eventually(lambda: says(feed, kept, "live"))
            assert await says(feed, ended, "revoked")


async def test_a_valkey_of_another_log_begins_anew(valkey: Valkey, valkey_admin: "redis.Redis") -> None:
    feed = feed_of(valkey)
    async with running(feed.run()):
        async with followed(valkey) as (_, _, scribe):
            ended, kept = await revoke_one(scribe)
            await eventually(lambda: says(feed, kept, "live"))
        valkey_admin.flushall()
        valkey_admin.set(keys_of.LOG, "another")
        await eventually(lambda: says(feed, kept, "unknown"))
        assert await says(feed, ended, "unknown")
        async with followed(valkey) as (_, _, scribe):
            ended, kept = await revoke_one(scribe)
            await eventually(lambda: says(feed, kept, "live"))
            assert {revocation.id for revocation in feed} == {ended}


async def test_a_stopped_projector_makes_it_unknown_and_revoked_stays_revoked(valkey: Valkey) -> None:
    feed = feed_of(valkey, STALE)
    async with running(feed.run()):
        async with followed(valkey) as (_, _, scribe):
            ended, kept = await revoke_one(scribe)
            await eventually(lambda: says(feed, kept, "live"))
        await eventually(lambda: says(feed, kept, "unknown"))
        assert await says(feed, ended, "revoked")


async def test_what_no_token_can_outlive_is_forgotten(valkey: Valkey, valkey_admin: "redis.Redis") -> None:
    async with knowing(valkey) as (feed, _, ended, _):
        add(valkey_admin, "session", "brief", life_ms=700)
        await eventually(lambda: says(feed, "brief", "revoked"))
        await eventually(lambda: says(feed, "brief", "live"))
        assert {revocation.id for revocation in feed} == {ended}


async def test_what_is_not_understood_is_believed_by_nobody_and_ends_nothing(
    valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    async with knowing(valkey, STALE) as (feed, _, _, kept):
        add(valkey_admin, "planet", "of another release")
        await eventually(lambda: says(feed, kept, "unknown"))
        valkey_admin.flushall()
        await eventually(lambda: says(feed, kept, "live"), within_seconds=20)


async def test_a_store_that_was_started_again_is_read_again(valkey: Valkey) -> None:
    """Its cursors are those of another run, and may pass keys over."""
    feed = feed_of(valkey)
    async with followed(valkey) as (_, _, scribe):
        ended, kept = await revoke_one(scribe)
        async with running(feed.run()):
            await eventually(lambda: says(feed, kept, "live"))
        feed._run_id = "another"  # noqa: SLF001  # no store of a test may be started again
        with pytest.raises(GapError):
            await feed._follow()  # noqa: SLF001  # as above
        assert await says(feed, ended, "revoked")


async def test_without_a_valkey_it_knows_nothing_and_heals() -> None:
    nowhere = Valkey.open("redis://127.0.0.1:1/0", timeout_seconds=1)
    feed = feed_of(nowhere)
    async with running(feed.run()):
        await feed_turn()
        assert await says(feed, "s", "unknown")
        assert feed.age_seconds() == float("inf")
    await nowhere.close()


async def says_of(feed: RevocationFeed, token: TokenIds, verdict: Verdict) -> bool:
    return feed.verdict(token) == verdict


async def feed_turn() -> None:
    """One question and answer's time."""
    await asyncio.sleep(0.05)  # so that the feed has its turn


def add(
    client: "redis.Redis", kind: str, named: str, *, life_ms: int = 60_000, is_trimmed: bool = False
) -> None:
    """What the projector's script writes for a revocation, in one step; trimmed, only the entry's count is left."""
    until = int(time.time() * 1000) + life_ms
    with client.pipeline(transaction=True) as all_at_once:
        all_at_once.set(f"{keys_of.REVOKED}{kind}:{named}", "0:1", pxat=until)
        fields = {"kind": kind, "id": named, "position": "0:1", "until_ms": str(until)}
        all_at_once.xadd(keys_of.STREAM, fields)  # type: ignore[arg-type]  # typed too narrowly
        if is_trimmed:
            all_at_once.xtrim(keys_of.STREAM, maxlen=0, approximate=False)
        all_at_once.execute()
