"""The write model in PostgreSQL: schema `write_model`, which may be dropped at any time and is folded again."""

import contextlib
from collections.abc import Iterator, Sequence

from eventstore.errors import UnavailableError
from eventstore.snapshots import Checkpoint, Guarded, Snapshot
from runtime.postgres import Connection, Postgres, PostgresRejectedError, PostgresUnavailableError, Row
from runtime.statements import load_statements

SQL = load_statements(__file__)


class PostgresSnapshots:
    """Snapshots of one `fold_version`; those of another are apart, so that old and new processes can run at once."""

    def __init__(self, postgres: Postgres, fold_version: int) -> None:
        self._postgres = postgres
        self._fold_version = fold_version

    async def load(self, partition: int, streams: Sequence[str]) -> Guarded:
        with as_unavailable():
            rows = await self._postgres.fetch(SQL["load"], self._fold_version, partition, list(streams))
        if not rows:
            return Guarded(checkpoint=None, snapshots={})
        found = [_snapshot(row) for row in rows if row["stream"] is not None]
        return Guarded(checkpoint=_checkpoint(rows[0]), snapshots={s.stream: s for s in found})

    async def save(
        self,
        partition: int,
        before: Checkpoint | None,
        after: Checkpoint,
        snapshots: Sequence[Snapshot],
    ) -> bool:
        with as_unavailable():
            async with self._postgres.transaction() as tx:
                if not await self._move(tx, partition, before, after):
                    return False
                await tx.execute(
                    SQL["save_streams"],
                    self._fold_version,
                    partition,
                    [s.stream for s in snapshots],
                    [s.version for s in snapshots],
                    [s.at for s in snapshots],
                    [s.state for s in snapshots],
                    [s.sealed for s in snapshots],
                    [s.expires_at for s in snapshots],
                )
                await tx.execute(SQL["forget_streams"], self._fold_version, partition, after.last_at)
        return True

    async def _move(
        self, tx: Connection, partition: int, before: Checkpoint | None, after: Checkpoint
    ) -> bool:
        to = (after.seq, after.hash, after.offset, after.next_offset, after.last_at)
        if before is None:
            moved = await tx.fetch_one(SQL["begin_checkpoint"], self._fold_version, partition, *to)
        else:
            moved = await tx.fetch_one(
                SQL["move_checkpoint"],
                self._fold_version,
                partition,
                *to,
                before.seq,
                before.hash,
                before.next_offset,
            )
        return moved is not None


async def create_write_model(postgres: Postgres) -> None:
    """Create what is missing; what exists is left as it is. Safe for several processes at once."""
    with as_unavailable():
        async with postgres.dedicated() as connection:
            await connection.execute(SQL["lock"])
            async with connection.transaction() as tx:
                await tx.execute(SQL["create"])


async def partitions_folded(postgres: Postgres, fold_version: int) -> int | None:
    """How many partitions have a checkpoint of this fold; None if there is no write model."""
    with as_unavailable():
        row = await postgres.fetch_one(SQL["is_there"])
        if row is None or not row["is_there"]:
            return None
        row = await postgres.fetch_one(SQL["count_checkpoints"], fold_version)
    return 0 if row is None else int(row["partitions"])


@contextlib.contextmanager
def as_unavailable() -> Iterator[None]:
    """PostgreSQL holds nothing but derived state here, so whatever it says means: not now."""
    try:
        yield
    except (PostgresUnavailableError, PostgresRejectedError) as error:
        raise UnavailableError(f"write model: {error}") from None


def _checkpoint(row: Row) -> Checkpoint:
    return Checkpoint(
        seq=row["seq"],
        hash=row["hash"],
        offset=row["record_offset"],
        next_offset=row["next_offset"],
        last_at=row["last_at"],
    )


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(
        stream=row["stream"],
        version=row["version"],
        at=row["at"],
        state=row["state"],
        sealed=row["sealed"],
        expires_at=row["expires_at"],
    )
