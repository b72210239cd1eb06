"""All live revocations in memory, as Valkey pushes them: a check asks no store while this is fresh.

Law: `live` is said only if the store itself said, in answer to a question asked at most `stale` ago, that everything
the log held was applied, and every entry of its stream up to then was read. The stream counts its entries, so one
that is missing shows; then all of it is read again. What was revoked stays so until no token can be valid any more.
"""

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple, cast, get_args

from readmodels import valkey_keys as keys
from readmodels.revoked_tokens import TokenIds, Verdict
from runtime.logs import get_logger
from runtime.redis import Valkey, ValkeyUnavailableError

Kind = Literal["session", "jti", "client"]
MOST_REVOCATIONS = 2_000_000
"""With more than this it says `unknown`, and the stores are asked."""
BELL_SECONDS = 0.25
"""The store is asked this often when nothing comes."""
MOST_WAITING = 10_000
"""Revocations that may wait for one listener."""
_PAUSE_SECONDS = 0.2
_TROUBLE_SECONDS = 2.0
_PAGE = 1000


_log = get_logger("revocation_feed")


class Revocation(NamedTuple):
    """`until_ms` is when no token that this concerns can be valid any more, by the store's clock."""

    kind: Kind
    id: str
    position: str
    until_ms: int

    @property
    def place(self) -> tuple[int, int]:
        """Partition and seq of the commit that says so."""
        partition, _, seq = self.position.partition(":")
        return int(partition), int(seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What one question tells. `age_ms` is below 0 where a partition has no mark to believe."""

    run_id: str
    log_id: str
    now_ms: int
    age_ms: int
    seqs: tuple[int, ...]
    added: int
    last: str
    entries: Sequence[Any]


class Listener:
    """Hears of each revocation that is new to the feed, in the order in which it came."""

    def __init__(self) -> None:
        self._heard: deque[Revocation] = deque()
        self._news = asyncio.Event()
        self.is_lost = False
        """More came than may wait; what was not kept must be read again."""

    def tell(self, revocation: Revocation) -> None:
        if len(self._heard) >= MOST_WAITING:
            self.is_lost = True
        else:
            self._heard.append(revocation)
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Return once there is something new, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def take(self) -> Sequence[Revocation]:
        """What is new, up to the feed's present `seqs`."""
        self._news.clear()
        heard = tuple(self._heard)
        self._heard.clear()
        return heard


class GapError(Exception):
    """Entries of the stream are missing here, or it is another stream."""


class RevocationFeed:
    def __init__(self, valkey: Valkey, *, partitions: int, stale: timedelta) -> None:
        """`valkey` must allow answers to take longer than `BELL_SECONDS`."""
        self._bell = valkey.bell(keys.STREAM)
        self._poll = valkey.script(keys.POLL)
        self._scan = valkey.script(keys.SCAN)
        self._partitions = partitions
        self._checkpoints = [keys.checkpoint(number) for number in range(partitions)]
        self._listeners: set[Listener] = set()
        self._stale_seconds = stale.total_seconds()
        self._complete_at = float("-inf")
        self._log_id = ""
        self._run_id = ""
        self._last = keys.STREAM_START
        self._added = -1
        self._ends: list[tuple[int, Kind, str]] = []
        self.seqs: tuple[int, ...] = ()
        """By partition: the seq up to which everything is known here."""
        self.revoked: dict[Kind, dict[str, Revocation]] = {kind: {} for kind in get_args(Kind)}

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def is_fresh(self) -> bool:
        return self.age_seconds() <= self._stale_seconds

    def age_seconds(self) -> float:
        """How long ago everything was known here; infinite before it ever was."""
        return time.monotonic() - self._complete_at

    def verdict(self, token: TokenIds) -> Verdict:
        """`unknown` where only the stores can tell."""
        revoked = self.revoked
        if token.jti in revoked["jti"]:
            return "revoked"
        if token.session_id is not None:
            if token.session_id in revoked["session"]:
                return "revoked"
        elif token.client_id is not None and token.client_id in revoked["client"]:
            return "revoked"
        return "live" if time.monotonic() - self._complete_at <= self._stale_seconds else "unknown"

    async def run(self) -> None:
        """Until cancelled: follow the stream, and begin anew after whatever went wrong."""
        while True:
            try:
                await self._begin()
                while True:
                    await self._follow()
                    await self._bell.wait(self._last, seconds=BELL_SECONDS)
            except (GapError, ValkeyUnavailableError):
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001  # checks fall back to the stores; nothing may end this
                _log.error("the revocation feed cannot be read", error=type(error).__name__)
                await asyncio.sleep(_TROUBLE_SECONDS)

    async def _begin(self) -> None:
        """Read what is revoked already. The stream's end comes first, so that nothing falls in between."""
        first = await self._ask(0)
        if not first.log_id:
            raise GapError
        if first.log_id != self._log_id:
            for found in self.revoked.values():
                found.clear()
            self._ends.clear()
            self._complete_at = float("-inf")
        cursor = "0"
        while True:
            page: Any = await self._scan([], [cursor, _PAGE, keys.REVOKED])
            run_id, cursor, flat = page
            if run_id != first.run_id:
                raise GapError
            for number in range(0, len(flat), 3):
                kind, _, named = str(flat[number]).removeprefix(keys.REVOKED).partition(":")
                self._take(cast("Kind", kind), named, str(flat[number + 1]), int(flat[number + 2]))
            if cursor == "0":
                break
        self._log_id, self._run_id = first.log_id, first.run_id
        self._added, self._last = first.added, first.last

    async def _follow(self) -> None:
        """Read to the stream's present end. GapError if it is not the one that was followed."""
        while True:
            asked_at = time.monotonic()
            answer = await self._ask(_PAGE)
            if (answer.log_id, answer.run_id) != (self._log_id, self._run_id):
                raise GapError
            for entry_id, flat in answer.entries:
                entry = dict(zip(flat[::2], flat[1::2], strict=True))
                self._take(entry["kind"], entry["id"], entry["position"], int(entry["until_ms"]))
                self._last = entry_id
            self._added += len(answer.entries)
            if self._added == answer.added:
                break
            if len(answer.entries) < _PAGE:
                raise GapError
        self._forget(answer.now_ms)
        self.seqs = answer.seqs
        if answer.age_ms >= 0 and len(self._ends) <= MOST_REVOCATIONS:
            self._complete_at = max(self._complete_at, asked_at - answer.age_ms / 1000)

    async def _ask(self, most: int) -> _Answer:
        asked = [keys.FRESH, keys.LOG, keys.STREAM, *self._checkpoints]
        answer: Any = await self._poll(asked, [self._partitions, self._last, max(1, most)])
        run_id, log_id, now_ms, age_ms, seqs, added, last, entries = answer
        return _Answer(
            run_id=str(run_id),
            log_id=str(log_id),
            now_ms=int(now_ms),
            age_ms=int(age_ms),
            seqs=tuple(int(seq) for seq in seqs),
            added=int(added),
            last=str(last),
            entries=entries,
        )

    def _take(self, kind: Kind, named: str, position: str, until_ms: int) -> None:
        known = self.revoked[kind].get(named)
        if known is None or known.until_ms < until_ms:
            revocation = Revocation(kind, named, position, until_ms)
            self.revoked[kind][named] = revocation
            heapq.heappush(self._ends, (until_ms, kind, named))
            for listener in self._listeners:
                listener.tell(revocation)

    def _forget(self, now_ms: int) -> None:
        while self._ends and self._ends[0][0] <= now_ms:
            _, kind, named = heapq.heappop(self._ends)
            known = self.revoked[kind].get(named)
            if known is not None and known.until_ms <= now_ms:
                del self.revoked[kind][named]

    def __iter__(self) -> Iterator[Revocation]:
        for found in self.revoked.values():
            yield from found.values()
