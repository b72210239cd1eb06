"""Whatever happens between the log and the feed: nobody is called live whose revocation is older than the bound."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import redis

from readmodels import valkey_keys as keys_of
from readmodels.revocation_feed import RevocationFeed
from readmodels.revoked_tokens import TokenIds
from runtime.redis import Valkey
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, revoked, session_of, stream_of
from tests.support.runners import PARTITIONS, valkey_runner
from tests.support.scribe import Scribe
from tests.support.soak import times
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

SEEDS = 4
STEPS = 40
STALE_SECONDS = 0.5
SLACK_SECONDS = 0.1
"""Between the time of a question and that of its check in this test."""
CALM_SECONDS = 15.0


@dataclass(slots=True)
class History:
    """The model: when each revocation was in the log, and who was never revoked."""

    revoked_at: dict[str, float] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    answers: int = 0
    restored: int = 0

    def check(self, feed: RevocationFeed) -> None:
        now = time.monotonic()
        for session_id, since in self.revoked_at.items():
            verdict = feed.verdict(TokenIds(session_id=session_id, jti="j"))
            self.answers += verdict != "unknown"
            if verdict == "live" and now - since > STALE_SECONDS + SLACK_SECONDS:
                self.violations.append(f"{session_id} is live {now - since:.2f} s after its revocation")
        for session_id in self.kept:
            if feed.verdict(TokenIds(session_id=session_id, jti="j")) == "revoked":
                self.violations.append(f"{session_id} was never revoked")

    async def keep_checking(self, feed: RevocationFeed) -> None:
        """Until cancelled, or something was wrong."""
        while not self.violations:
            self.check(feed)
            await asyncio.sleep(0.002)  # between two checks, so that the feed has its turn


class World:
    """A log, a Valkey and a projector between them, to which things happen."""

    def __init__(self, chance: random.Random, client: "redis.Redis", history: History) -> None:
        self._chance = chance
        self._client = client
        self._history = history
        self._backup: dict[bytes, bytes] = {}
        self.follows = asyncio.Event()

    async def step(self, scribe: Scribe) -> None:
        happens = self._chance.choices(
            (self._revoke, self._flush, self._back_up, self._restore, self._trim, self._cut, self._pause),
            (10, 3, 3, 3, 3, 2, 2),
        )[0]
        await happens(scribe)
        await asyncio.sleep(self._chance.uniform(0, 0.1))  # things happen at all times

    async def _revoke(self, scribe: Scribe) -> None:
        account_id = account_id_in(self._chance.randrange(PARTITIONS))
        ended, kept = session_of(account_id, 1), session_of(account_id, 2)
        await scribe.write(stream_of(account_id), ended, kept, revoked(ended))
        self._history.revoked_at[ended.session_id] = time.monotonic()
        self._history.kept.add(kept.session_id)

    async def _flush(self, _: Scribe) -> None:
        self._client.flushall()

    async def _back_up(self, _: Scribe) -> None:
        names: list[bytes] = self._client.keys("*")  # type: ignore[assignment]  # typed for both its forms
        self._backup = {name: self._client.dump(name) for name in names}  # type: ignore[misc]  # as above

    async def _restore(self, _: Scribe) -> None:
        """An older copy of everything, as after a restart from a snapshot."""
        with self._client.pipeline(transaction=True) as all_at_once:
            all_at_once.flushall()
            for name, content in self._backup.items():
                is_lasting = name.decode().startswith(_LASTING)
                all_at_once.restore(name, 0 if is_lasting else 60_000, content)
            all_at_once.execute()
        self._history.restored += len(self._backup)

    async def _trim(self, _: Scribe) -> None:
        self._client.xtrim(keys_of.STREAM, maxlen=self._chance.randrange(3), approximate=False)

    async def _cut(self, _: Scribe) -> None:
        self._client.client_kill_filter(_type="normal", skipme=True)

    async def _pause(self, _: Scribe) -> None:
        if self.follows.is_set():
            self.follows.clear()
        else:
            self.follows.set()


_LASTING = (keys_of.LOG, keys_of.FRESH, keys_of.STREAM, keys_of.PREFIX + "checkpoint:")
"""What has no end of its own."""


@pytest.mark.parametrize("seed", range(SEEDS * times(1)))
async def test_no_feed_fault_lets_a_revoked_session_live_beyond_the_bound(
    seed: int, valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    log, keys, history = await new_log(PARTITIONS), KeyTopic(), History()
    scribe = Scribe(log, keys.keyring())
    address = valkey_admin.connection_pool.connection_kwargs
    client = redis.Redis(host=address["host"], port=address["port"])
    world = World(random.Random(seed), client, history)
    feed = RevocationFeed(valkey, partitions=PARTITIONS, stale=timedelta(seconds=STALE_SECONDS))

    async def project() -> None:
        while True:
            await world.follows.wait()
            async with running(valkey_runner(log, keys, valkey).run()):
                while world.follows.is_set():  # noqa: ASYNC110  # a pause is asked for by a step
                    await asyncio.sleep(0.01)

    async def knows_all() -> bool:
        wanted = [TokenIds(session_id=session_id, jti="j") for session_id in history.revoked_at]
        spared = [TokenIds(session_id=session_id, jti="j") for session_id in history.kept]
        return {feed.verdict(one) for one in wanted} <= {"revoked"} and {
            feed.verdict(one) for one in spared
        } <= {"live"}

    world.follows.set()
    async with running(project(), feed.run(), history.keep_checking(feed)):
        for _ in range(STEPS):
            await world.step(scribe)
        world.follows.set()
        if not history.violations:
            await eventually(knows_all, within_seconds=CALM_SECONDS)
    assert history.violations == []
    assert history.answers > 0
    client.close()
