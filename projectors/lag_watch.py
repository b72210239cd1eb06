"""Tells how far all consumers of this process lag: to whoever asks for metrics, readiness or the projections.

A short lag is a load; one that lasts is a failure. What cannot be published now is published a second later, and
nothing waits for it: a token check must not depend on a report.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

from projectors.keep_going import stop_if_cancelled
from projectors.metrics import Metrics
from projectors.runner import Runner
from readmodels.consumer_reports import Report, publish_reports
from readmodels.parked_facts import counts_parked
from runtime.health import Health
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError

LOOK_SECONDS = 1.0


class LagWatch:
    def __init__(
        self,
        runners: Sequence[Runner],
        postgres: Postgres,
        health: Health,
        metrics: Metrics,
        limit: timedelta,
    ) -> None:
        self._runners = runners
        self._postgres = postgres
        self._health = health
        self._metrics = metrics
        self._limit_seconds = limit.total_seconds()
        self._told: dict[str, set[int]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            stop_if_cancelled()
            for runner in self._runners:
                await self.look(runner)
            await self.count_parked()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, runner: Runner) -> None:
        reports = runner.reports()
        for report in reports:
            self._tell(runner.consumer, report)
        partitions = {report.partition for report in reports}
        for partition in self._told.get(runner.consumer, set()) - partitions:
            self._forget(runner.consumer, partition)
        self._told[runner.consumer] = partitions
        with contextlib.suppress(PostgresUnavailableError, PostgresRejectedError):
            await publish_reports(self._postgres, runner.consumer, reports)

    async def count_parked(self) -> None:
        with contextlib.suppress(PostgresUnavailableError, PostgresRejectedError):
            for projector, streams in (await counts_parked(self._postgres)).items():
                self._metrics.parked.labels(projector).set(streams)

    def _forget(self, consumer: str, partition: int) -> None:
        """Another process tells of it now."""
        for gauge in (self._metrics.lag, self._metrics.lag_seconds):
            with contextlib.suppress(KeyError):  # there may have been nothing to tell yet
                gauge.remove(consumer, str(partition))
        self._health.set(f"{consumer}-{partition}-lag", None)

    def _tell(self, consumer: str, report: Report) -> None:
        labels = (consumer, str(report.partition))
        self._metrics.lag.labels(*labels).set(max(0, report.log_end - report.next_offset))
        if report.lag_seconds is None:
            return
        self._metrics.lag_seconds.labels(*labels).set(report.lag_seconds)
        is_too_long = report.lag_seconds > self._limit_seconds and report.halted is None
        reason = f"is {report.lag_seconds:.0f} s behind the log" if is_too_long else None
        self._health.set(f"{consumer}-{report.partition}-lag", reason)
