"""How lags are told: in seconds from the ends that were asked for, and as states that a person can act on."""

from datetime import timedelta
from typing import Any

import pytest

from projectors.lag import MOST_ENDS, Lag
from readmodels.consumer_reports import SILENT_SECONDS
from readmodels.projections import (
    PartitionStatus,
    ProjectorStatus,
    State,
    partition_status,
    projector_object,
)

LIMIT = timedelta(seconds=10)
LIVE = {
    "seq": 4,
    "next_offset": 5,
    "log_end": 5,
    "lag_seconds": 0.5,
    "silent_seconds": 0.2,
    "halted": None,
    "is_paused": False,
}


def test_nothing_is_told_before_an_end_was_asked_for_and_reached() -> None:
    lag = Lag()
    assert (lag.log_end, lag.seconds(0, 10.0)) == (None, None)
    lag.ends_at(5, 10.0)
    assert (lag.log_end, lag.seconds(4, 11.0)) == (5, None)
    assert lag.seconds(5, 12.0) == 2.0


def test_who_is_always_a_little_behind_has_a_short_lag() -> None:
    """Each end is reached only after the next one was asked for."""
    lag = Lag()
    for second in range(100):
        lag.ends_at(10 * (second + 1), float(second))
        told = lag.seconds(10 * second, second + 0.5)
        assert second == 0 or told == 1.5


def test_who_stands_still_has_a_growing_lag() -> None:
    lag = Lag()
    for second in range(3 * MOST_ENDS):
        lag.ends_at(5 + second, float(second))
    assert lag.seconds(5, 1000.0) == 1000.0
    assert lag.seconds(5, 2000.0) == 2000.0
    assert lag.seconds(5 + 3 * MOST_ENDS, 2000.0) == 2000.0 - MOST_ENDS + 1


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "live"),
        ({"lag_seconds": 10.0}, "live"),
        ({"lag_seconds": 10.1}, "behind"),
        ({"lag_seconds": None}, "building"),
        ({"halted": "a bad record"}, "halted"),
        ({"halted": "a bad record", "silent_seconds": SILENT_SECONDS + 1}, "silent"),
        ({"silent_seconds": None, "log_end": None}, "silent"),
        ({"silent_seconds": SILENT_SECONDS + 1, "is_paused": True}, "paused"),
    ],
)
def test_a_partition_has_one_state(more: dict[str, Any], state: State) -> None:
    assert partition_status(3, {**LIVE, **more}, LIMIT).state == state


def test_a_partition_that_nobody_ever_reported_is_silent_and_shows_nothing() -> None:
    assert partition_status(3, None, LIMIT) == PartitionStatus(
        partition=3, seq=-1, next_offset=0, lag_records=None, lag_seconds=None, state="silent", reason=None
    )
    assert partition_status(3, None, LIMIT, 7).lag_records == 7


def test_the_logs_own_end_counts_more_than_the_one_that_was_reported() -> None:
    assert partition_status(3, LIVE, LIMIT).lag_records == 0
    assert partition_status(3, LIVE, LIMIT, 9).lag_records == 4
    assert partition_status(3, LIVE, LIMIT, 2).lag_records == 0


def test_a_projector_is_as_well_as_its_worst_partition() -> None:
    worst = partition_status(1, {**LIVE, "halted": "a bad record", "lag_seconds": 7.0, "log_end": 8}, LIMIT)
    status = ProjectorStatus(projector="sessions_v12", partitions=(partition_status(0, LIVE, LIMIT), worst))
    shown = projector_object(status)
    assert (shown["version"], shown["state"], shown["lag_records"], shown["lag_seconds"]) == (
        12,
        "halted",
        3,
        7.0,
    )
    assert shown["partitions"][1] == {
        "partition": 1,
        "position": "1:4",
        "lag_records": 3,
        "lag_seconds": 7.0,
        "state": "halted",
        "reason": "a bad record",
    }
    unknown = ProjectorStatus(projector="x_v1", partitions=(worst, partition_status(0, None, LIMIT)))
    assert (unknown.lag_records, unknown.lag_seconds, unknown.state) == (None, None, "halted")
