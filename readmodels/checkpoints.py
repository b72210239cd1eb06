"""How far each projector has come in each partition: written in the transaction of the rows it speaks for.

`fresh_at` is the server's own time before the log's end was asked for which these rows were found complete.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runtime.postgres import Connection, Postgres, Row
from runtime.statements import load_statements

SQL = load_statements(__file__)

CHANNEL = "chancery_checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The last commit that was applied, and where to read on. `seq` is -1 before the genesis."""

    log_id: str
    seq: int = -1
    hash: str = ""
    next_offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a transaction tells whoever waits: how far these projectors are. Not all of them serve."""

    projectors: Sequence[str]
    partition: int
    seq: int


def parse_notice(text: str) -> Notice | None:
    """None if it tells of no step."""
    partition, _, rest = text.partition(":")
    seq, _, projectors = rest.partition(":")
    if not (partition.isdecimal() and seq.removeprefix("-").isdecimal()):
        return None
    return Notice(projectors=tuple(projectors.split(",")), partition=int(partition), seq=int(seq))


async def begin_checkpoints(
    connection: Connection, projectors: Sequence[str], partition: int, log_id: str
) -> dict[str, Checkpoint]:
    """The stored checkpoints by projector; a projector without one begins before the genesis of this log."""
    await connection.execute(SQL["begin"], list(projectors), partition, log_id)
    return await read_checkpoints(connection, projectors, partition)


async def read_checkpoints(
    connection: Connection, projectors: Sequence[str], partition: int
) -> dict[str, Checkpoint]:
    return _by_projector(await connection.fetch(SQL["read"], list(projectors), partition))


async def lock_checkpoint(tx: Connection, projector: str, partition: int) -> None:
    """Nobody else's until the transaction ends."""
    await tx.fetch(SQL["lock"], projector, partition)


async def advance_checkpoints(
    tx: Connection, projectors: Sequence[str], reached: Mapping[int, Checkpoint]
) -> dict[int, dict[str, Checkpoint]]:
    """Move checkpoints on, by partition, and return what they were: whoever expected others has to roll back.

    They are nobody else's until the transaction ends; those that are further already stay. Whoever waits is told once
    it has ended well.
    """
    places = [(number, one.seq, one.hash, one.next_offset) for number, one in reached.items()]
    before: dict[int, dict[str, Checkpoint]] = {number: {} for number in reached}
    for row in await tx.fetch(SQL["advance"], list(projectors), *map(list, zip(*places, strict=True))):
        before[row["partition"]][row["projector"]] = _checkpoint(row)
    return before


async def lock_checkpoints_everywhere(tx: Connection, projectors: Sequence[str]) -> dict[str, dict[int, int]]:
    """How far each projector is, by partition, and stays until the transaction ends."""
    seqs: dict[str, dict[int, int]] = {}
    for row in await tx.fetch(SQL["lock_everywhere"], list(projectors)):
        seqs.setdefault(row["projector"], {})[row["partition"]] = row["seq"]
    return seqs


async def show_at_least(postgres: Postgres, read_models: Sequence[str], wanted: Mapping[int, int]) -> bool:
    """Whether each of the read models, as it serves now, has come to every wanted seq (by partition)."""
    row = await postgres.fetch_one(SQL["lacking"], list(read_models), list(wanted), list(wanted.values()))
    return row is not None and row["lacking"] == 0


async def tell_to_look_again(tx: Connection) -> None:
    """Whoever believes to know positions asks anew once the transaction has ended well."""
    await tx.execute(SQL["look_again"])


async def server_now(postgres: Postgres) -> datetime:
    row = await postgres.fetch_one(SQL["now"])
    assert row is not None
    now: datetime = row["now"]
    return now


async def mark_fresh(
    postgres: Postgres, projectors: Sequence[str], log_id: str, ends: Mapping[int, int], asked_at: datetime
) -> set[int]:
    """Mark the partitions that were applied up to the ends that the log had after `asked_at`; which they are.

    One after the other: who waits for a partition's locks must not hold those of another meanwhile, or all stand
    still together.
    """
    marked = set()
    for partition, end in ends.items():
        if await postgres.fetch(SQL["mark_fresh"], list(projectors), log_id, partition, end, asked_at):
            marked.add(partition)
    return marked


async def is_fresh(
    postgres: Postgres, read_models: Sequence[str], *, partitions: int, stale: timedelta
) -> bool:
    """Whether every partition of these read models was complete within `stale`: what they lack does not exist."""
    row = await postgres.fetch_one(SQL["fresh"], list(read_models), stale)
    return row is not None and row["fresh"] >= partitions * len(read_models)


async def completeness(postgres: Postgres, read_model: str, *, partitions: int) -> timedelta | None:
    """How long ago all of this read model was complete at least; None if that cannot be told."""
    row = await postgres.fetch_one(SQL["complete"], read_model)
    if row is None or row["marked"] < partitions:
        return None
    return timedelta(seconds=row["age_seconds"])


def _by_projector(rows: Iterable[Row]) -> dict[str, Checkpoint]:
    return {row["projector"]: _checkpoint(row) for row in rows}


def _checkpoint(row: Row) -> Checkpoint:
    return Checkpoint(log_id=row["log_id"], seq=row["seq"], hash=row["hash"], next_offset=row["next_offset"])
