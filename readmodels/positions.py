"""Waits until a read model has reached a position: woken by its transaction, never by a busy loop.

All waiters share one listening connection. Without it, or when a notification is lost, a slow poll goes on.
A read model that is built again in place falls back. That is told, but may be heard after its rows were read:
`still_shows` asks the database itself.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from readmodels.checkpoints import CHANNEL, SQL, parse_notice, show_at_least
from runtime.postgres import Connection, Postgres, PostgresRejectedError, PostgresUnavailableError

_POLL_WAITED_FOR_SECONDS = 0.25
_POLL_IDLE_SECONDS = 2.0
_RECONNECT_SECONDS = 0.5


class PositionWatch:
    """`run` belongs to the process's task group; everything else may be called from any task."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._seqs: Mapping[str, dict[int, int]] = {}
        self._serving: Mapping[str, str] = {}
        """The read model that each projector serves. Whenever that changes it is told to look again."""
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._news = asyncio.Event()
        """Somebody began to wait, or what is known is in doubt."""
        self._is_unsure = False
        self.is_connected = False

    def shown(self, read_model: str) -> Mapping[int, int]:
        """The seq that rows read from now on show at least, by partition."""
        return dict(self._seqs.get(read_model, {}))

    async def wait_for(self, read_model: str, wanted: Mapping[int, int], *, wait_seconds: float) -> bool:
        """Whether it has reached every wanted seq (by partition), within the wait."""
        return await self._wait(lambda: self._has_reached(read_model, wanted), wait_seconds)

    async def wait_for_change(self, read_model: str, seen: Mapping[int, int], *, wait_seconds: float) -> bool:
        """Whether it moved on from what `shown` said before, within the wait."""
        return await self._wait(lambda: self._seqs.get(read_model, {}) != seen, wait_seconds)

    async def still_shows(self, read_models: Sequence[str], wanted: Mapping[int, int]) -> bool:
        """Whether rows that were read before this call show every wanted seq (by partition)."""
        return await show_at_least(self._postgres, read_models, wanted)

    async def _wait(self, is_so: Callable[[], bool], wait_seconds: float) -> bool:
        if is_so():
            return True
        moved = asyncio.get_running_loop().create_future()
        self._waiting[moved] = is_so
        self._news.set()
        try:
            async with asyncio.timeout(wait_seconds):
                await moved
        except TimeoutError:
            return is_so()
        finally:
            del self._waiting[moved]
        return True

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again, and what was known before is forgotten."""
        while True:
            try:
                async with self._postgres.dedicated() as connection:
                    await connection.listen(CHANNEL, self._on_notice)
                    self.is_connected = True
                    await self._follow(connection)
            except (PostgresUnavailableError, PostgresRejectedError):
                self.is_connected = False
                self._seqs, self._serving = {}, {}
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _follow(self, connection: Connection) -> None:
        """Poll on the listening connection itself, so that polls and notifications cannot overtake each other."""
        while True:
            await self._poll(connection)
            pause = _POLL_WAITED_FOR_SECONDS if self._waiting else _POLL_IDLE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._until_first_waits()

    async def _until_first_waits(self) -> None:
        """Return when the first one begins to wait, or nothing is known any more."""
        was_waited_for = bool(self._waiting)
        while (was_waited_for or not self._waiting) and not self._is_unsure:
            await self._news.wait()
            self._news.clear()

    async def _poll(self, connection: Connection) -> None:
        self._is_unsure = False
        found: dict[str, dict[int, int]] = {}
        rows = await connection.fetch(SQL["positions"])
        for row in rows:
            if row["partition"] is not None:
                found.setdefault(row["read_model"], {})[row["partition"]] = row["seq"]
        self._seqs, self._serving = found, {row["projector"]: row["read_model"] for row in rows}
        self._wake()

    def _wake(self) -> None:
        """Those alone whose wait is over: hundreds wait, and a position moves hundreds of times a second."""
        for moved, is_so in self._waiting.items():
            if not moved.done() and is_so():
                moved.set_result(None)

    def _on_notice(self, text: str) -> None:
        notice = parse_notice(text)
        if notice is None:
            self._seqs, self._serving, self._is_unsure = {}, {}, True
            self._news.set()
            return
        for read_model in [self._serving[name] for name in notice.projectors if name in self._serving]:
            seqs = dict(self._seqs.get(read_model, {}))
            seqs[notice.partition] = notice.seq
            self._seqs = {**self._seqs, read_model: seqs}
        self._wake()

    def _has_reached(self, read_model: str, wanted: Mapping[int, int]) -> bool:
        seqs = self._seqs.get(read_model, {})
        return all(seqs.get(partition, -1) >= seq for partition, seq in wanted.items())
