"""What consumers of the log say of themselves, again and again: how far they came, how far the log goes, what halted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runtime.postgres import Postgres
from runtime.statements import load_statements

SQL = load_statements(__file__)

SILENT_SECONDS = 10.0
"""A report that is older is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a consumer says of a partition. `lag_seconds` is None until it has reached the log's end once."""

    partition: int
    seq: int
    next_offset: int
    log_end: int
    lag_seconds: float | None
    halted: str | None


async def publish_reports(postgres: Postgres, consumer: str, reports: Sequence[Report]) -> None:
    await postgres.execute(
        SQL["publish"],
        consumer,
        [one.partition for one in reports],
        [one.seq for one in reports],
        [one.next_offset for one in reports],
        [one.log_end for one in reports],
        [one.lag_seconds for one in reports],
        [one.halted for one in reports],
        timedelta(seconds=SILENT_SECONDS),
    )
