"""Which command processes live, and which of them each partition's commands are best decided by.

It is a matter of speed alone: any process may decide anything, and the chain says what counts. So whatever is
wrong here (Valkey gone, a stale view, two processes that prefer themselves) costs void records, never truth.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.logs import get_logger
from runtime.redis import Valkey, ValkeyUnavailableError

BEAT_SECONDS = 0.5
LIFE_SECONDS = 2.0
"""A process that was not heard of for so long is gone."""
AVOID_SECONDS = 2.0
"""So long a process that did not take or answer a request is not asked again."""
_KEY = "chancery:v1:replicas"
_log = get_logger("replicas")

_BEAT = """
-- KEYS: replicas   ARGV: id and address of this one, its life in ms ('0': it leaves)
-- Everybody who was heard of within a life.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[2])
if life > 0 then
  redis.call('ZADD', KEYS[1], now + life, ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """A command process: an id that it has chosen at its start, and where it takes forwarded requests."""

    id: str
    url: str

    def render(self) -> str:
        return f"{self.id} {self.url}"


def parse_replica(text: str) -> Replica:
    replica_id, _, url = text.partition(" ")
    return Replica(replica_id, url)


def preferred_of(replicas: Sequence[Replica], partition: int) -> Replica:
    """Rendezvous hashing (Thaler and Ravishankar, 1998): a process that comes or goes moves only its own share."""
    return max(replicas, key=lambda one: hashlib.sha256(f"{one.id}/{partition}".encode()).digest())


class Replicas:
    """What this process, `own`, knows of the others."""

    def __init__(self, own: Replica, valkey: Valkey, *, partitions: int) -> None:
        self._own = own
        self._beat = valkey.script(_BEAT)
        self._partitions = partitions
        self._preferred: Mapping[int, Replica] = {}
        self._live: tuple[Replica, ...] = ()
        self._heard_at = 0.0
        self._avoid_until: dict[Replica, float] = {}

    async def run(self) -> None:
        """Until cancelled: say that this process lives, and hear who else does. It leaves at its end."""
        try:
            while True:
                await self.beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            await self._say(0)

    async def beat(self) -> None:
        said = await self._say(int(LIFE_SECONDS * 1000))
        if said is None:
            return
        self._heard_at = time.monotonic()
        live = tuple(sorted((parse_replica(text) for text in said), key=lambda one: one.id))
        if live != self._live:
            _log.info("replicas", live=len(live))
            self._live = live
            self._preferred = {number: preferred_of(live, number) for number in range(self._partitions)}

    def preferred(self, partition: int) -> Replica | None:
        """Who decides best; None if that is this process, or nobody who can be asked."""
        if time.monotonic() - self._heard_at > LIFE_SECONDS:
            return None
        replica = self._preferred.get(partition, self._own)
        if replica == self._own or time.monotonic() < self._avoid_until.get(replica, 0):
            return None
        return replica

    def avoid(self, replica: Replica) -> None:
        """It did not take a request, or did not answer one: not again for a while."""
        now = time.monotonic()
        self._avoid_until = {one: until for one, until in self._avoid_until.items() if until > now}
        self._avoid_until[replica] = now + AVOID_SECONDS

    def own_partitions(self) -> tuple[int, ...]:
        """Those that this process decides best, all if it knows of nobody else."""
        return tuple(number for number in range(self._partitions) if self.preferred(number) is None)

    async def _say(self, life_ms: int) -> Sequence[str] | None:
        try:
            said: Sequence[str] = await self._beat([_KEY], [self._own.render(), life_ms])
        except ValkeyUnavailableError:
            return None
        return said
