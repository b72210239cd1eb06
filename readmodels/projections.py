"""How far every projector is: what follows from checkpoints and from what consumers report.

`lag_seconds` says that everything the log held so long ago is shown. A report that is no longer renewed is not
believed: nobody knows then how far the log went on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from readmodels.consumer_reports import SILENT_SECONDS
from readmodels.parked_facts import ParkedStream, parked_streams
from readmodels.versions import Role, all_versions
from runtime.postgres import Postgres
from runtime.statements import load_statements

SQL = load_statements(__file__)

VALKEY = "valkey_v1"

State = Literal["live", "behind", "building", "paused", "silent", "halted"]
"""`building`: has not been complete yet. `paused`: by `chancery projections pause`. `silent`: no projector process reports. `halted`: needs a person."""
_FROM_GOOD_TO_BAD: tuple[State, ...] = ("live", "behind", "building", "paused", "silent", "halted")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """`seq` is -1 where nothing was applied; lags are None where they cannot be known. `reason` is a halt's."""

    partition: int
    seq: int
    next_offset: int
    lag_records: int | None
    lag_seconds: float | None
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorStatus:
    """`role` is that of the version among those of its read model."""

    projector: str
    partitions: tuple[PartitionStatus, ...]
    role: Role = "serving"
    parked_streams: tuple[ParkedStream, ...] = ()

    @property
    def version(self) -> int:
        return int(self.projector.rpartition("_v")[2])

    @property
    def state(self) -> State:
        """That of its worst partition."""
        return max((one.state for one in self.partitions), key=_FROM_GOOD_TO_BAD.index)

    @property
    def lag_records(self) -> int | None:
        lags = [one.lag_records for one in self.partitions]
        return None if None in lags else sum(lag for lag in lags if lag is not None)

    @property
    def lag_seconds(self) -> float | None:
        lags = [one.lag_seconds for one in self.partitions]
        return None if None in lags else max(lag for lag in lags if lag is not None)


async def projector_status(
    postgres: Postgres, *, partitions: int, limit: timedelta, ends: Mapping[int, int] | None = None
) -> tuple[ProjectorStatus, ...]:
    """Of every version of every read model, and of Valkey. `ends` are the log's own, where the caller has asked it; else what consumers saw."""
    roles: dict[str, Role] = {one.projector: one.role for one in await all_versions(postgres)}
    roles[VALKEY] = "serving"
    rows = {
        (row["projector"], row["partition"]): row for row in await postgres.fetch(SQL["status"], list(roles))
    }
    parked = await parked_streams(postgres)
    return tuple(
        ProjectorStatus(
            projector=projector,
            role=role,
            parked_streams=tuple(one for one in parked if one.projector == projector),
            partitions=tuple(
                partition_status(number, rows.get((projector, number)), limit, (ends or {}).get(number))
                for number in range(partitions)
            ),
        )
        for projector, role in roles.items()
    )


def partition_status(
    partition: int, row: Mapping[str, Any] | None, limit: timedelta, end: int | None = None
) -> PartitionStatus:
    if row is None:
        row = dict.fromkeys(("log_end", "lag_seconds", "silent_seconds", "halted"))
        row = {**row, "seq": -1, "next_offset": 0, "is_paused": False}
    log_end = row["log_end"] if end is None else end
    return PartitionStatus(
        partition=partition,
        seq=row["seq"],
        next_offset=row["next_offset"],
        lag_records=None if log_end is None else max(0, log_end - row["next_offset"]),
        lag_seconds=row["lag_seconds"],
        state=_state(row, limit),
        reason=row["halted"],
    )


def _state(row: Mapping[str, Any], limit: timedelta) -> State:
    silent, lag = row["silent_seconds"], row["lag_seconds"]
    if row["is_paused"]:
        return "paused"
    if silent is None or silent > SILENT_SECONDS:
        return "silent"
    if row["halted"] is not None:
        return "halted"
    if lag is None:
        return "building"
    return "behind" if lag > limit.total_seconds() else "live"


def projector_object(status: ProjectorStatus) -> dict[str, Any]:
    """As the API and the command line show it."""
    return {
        "projector": status.projector,
        "version": status.version,
        "role": status.role,
        "state": status.state,
        "lag_records": status.lag_records,
        "lag_seconds": status.lag_seconds,
        "parked_streams": [one.as_object() for one in status.parked_streams],
        "partitions": [_partition_object(one) for one in status.partitions],
    }


def _partition_object(status: PartitionStatus) -> dict[str, Any]:
    return {
        "partition": status.partition,
        "position": f"{status.partition}:{status.seq}" if status.seq >= 0 else None,
        "lag_records": status.lag_records,
        "lag_seconds": status.lag_seconds,
        "state": status.state,
        "reason": status.reason,
    }
