"""Runs the counting: gives its conclusions as commands, and commits how far it came."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any, get_args

from faust.types import TP

from projectors.metrics import Metrics
from projectors.risk.counting import Broker, Counting
from projectors.risk.rules import Conclusion, Limits
from projectors.risk.signals import Flaw
from projectors.risk.standstill import Standstill
from projectors.system_commands import CommandApi, CommandRefusedError, CommandUnansweredError
from runtime.health import Health
from runtime.logs import get_logger

COMMIT_SECONDS = 1.0
START_SECONDS = 60.0
STOP_SECONDS = 8.0
SEND_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""A conclusion is tried for so long; then the worker ends, and reads the event again when it is restarted."""
PART = "risk"
_log = get_logger("risk")


class CountingEndedError(Exception):
    """Faust stopped by itself. The process ends with it and is restarted."""


class Worker:
    def __init__(
        self,
        api: CommandApi,
        health: Health,
        metrics: Metrics,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._api = api
        self._health = health
        self._metrics = metrics
        self._told: set[tuple[TP, Flaw]] = set()

    async def run(self, broker: Broker, limits: Limits) -> None:
        """Until cancelled, or until something failed that only a new start can mend."""
        counting = Counting(broker, limits, self.conclude, self.pass_over)
        for topic, flaw in itertools.product(counting.topics, get_args(Flaw)):
            self._metrics.passed_over.labels(topic, flaw)
        async with counting_runs(counting):
            self._health.set(PART, None)
            await self._keep_committing(counting)

    async def conclude(self, conclusion: Conclusion) -> None:
        """Return once the command counts or is refused for good. CommandUnansweredError after a long time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_seconds
        while True:
            try:
                await self._give(conclusion)
            except CommandRefusedError as error:
                self._count(conclusion, "refused")
                _log.warning("a conclusion was refused", reason=conclusion.reason, code=error.code)
                return
            except CommandUnansweredError as error:
                self._health.set("command-api", str(error))
                if loop.time() > until:
                    raise
                continue
            self._health.set("command-api", None)
            self._count(conclusion, "given")
            return

    def pass_over(self, tp: TP, offset: int, flaw: Flaw) -> None:
        """The metric counts them all; the log names the first of each kind in each partition."""
        self._metrics.passed_over.labels(tp.topic, flaw).inc()
        if (tp, flaw) not in self._told:
            self._told.add((tp, flaw))
            place = f"{tp.topic}, partition {tp.partition}, offset {offset}"
            _log.warning("a record cannot be counted and is passed over", place=place, flaw=flaw)

    async def _give(self, conclusion: Conclusion) -> None:
        account_id, session_id = conclusion.account_id, conclusion.session_id
        reason, key = conclusion.reason, conclusion.key
        match conclusion.command:
            case "flag":
                assert session_id is not None
                await self._api.flag_session(
                    account_id=account_id, session_id=session_id, reason=reason, key=key
                )
            case "step-up":
                await self._api.require_step_up(
                    account_id=account_id, session_id=session_id, reason=reason, key=key
                )
            case "notice":
                await self._api.notify_owner(account_id=account_id, reason=reason, key=key)

    def _count(self, conclusion: Conclusion, outcome: str) -> None:
        self._metrics.conclusions.labels(conclusion.command, conclusion.reason, outcome).inc()

    async def _keep_committing(self, counting: Counting) -> None:
        standstill: Standstill[TP] = Standstill()
        while True:
            await asyncio.wait({counting.failed}, timeout=COMMIT_SECONDS)
            if counting.failed.done():
                await end(counting)
            if counting.app.should_stop:
                raise CountingEndedError(str(counting.app.crash_reason))
            await commit(counting)
            self._measure(counting)
            places, ends = await whereabouts(counting)
            standstill.look(places, ends, asyncio.get_running_loop().time())

    def _measure(self, counting: Counting) -> None:
        consumer = counting.app.consumer
        for tp, place in counting.places.known().items():
            end = consumer.highwater(tp)
            if end is not None:
                self._metrics.lag.labels(f"risk:{tp.topic}", str(tp.partition)).set(max(0, end - place))


@contextlib.asynccontextmanager
async def counting_runs(counting: Counting) -> AsyncIterator[None]:
    """Started, with its tables recovered; stopped afterwards, within a bounded time."""
    app: Any = counting.app
    recovered = asyncio.Event()

    async def note() -> None:
        recovered.set()

    app.on_startup_finished = note
    try:
        async with asyncio.timeout(START_SECONDS):
            await app.start()
            await recovered.wait()
        yield
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await app.stop()


async def whereabouts(counting: Counting) -> tuple[Mapping[TP, int], Mapping[TP, int]]:
    """How far each partition of events is handled, or fetched if nothing of it was handled yet; and where it ends."""
    consumer, known = counting.app.consumer, counting.places.known()
    wanted = [tp for tp in consumer.assignment() if tp.topic in counting.topics]
    async with asyncio.timeout(SEND_SECONDS):
        ends = await consumer.highwaters(*wanted) if wanted else {}
        fetched = {tp: await consumer.position(tp) for tp in wanted}
    places = {tp: known.get(tp, place) for tp, place in fetched.items() if place is not None}
    return places, {tp: end or 0 for tp, end in ends.items()}


async def end(counting: Counting) -> None:
    """With the failure, once what was handled before it is committed: or the same would come, and fail, for ever."""
    try:
        await commit(counting)
    finally:
        counting.failed.result()


async def commit(counting: Counting) -> None:
    """What was handled, once all that it led to is stored: Faust flushes its producer before."""
    places: Mapping[TP, int] = counting.places.to_commit()
    if not places:
        return
    sending, counting.sending = counting.sending, set()
    async with asyncio.timeout(SEND_SECONDS):
        await asyncio.gather(*sending)
        if await counting.app.consumer._commit_offsets(dict(places)):  # noqa: SLF001  # its public way commits what it acknowledged itself
            counting.places.committed(places)
