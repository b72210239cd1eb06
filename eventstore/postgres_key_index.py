"""The index of data keys in PostgreSQL, shared by every process that opens sealed fields."""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from eventstore.key_index import KeyBatch, KeyRecord
from eventstore.postgres_write_model import SQL, as_unavailable
from runtime.postgres import Postgres, Row


class PostgresKeyIndex:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def positions(self) -> Mapping[int, int]:
        with as_unavailable():
            rows = await self._postgres.fetch(SQL["key_positions"])
        return {row["partition"]: row["next_offset"] for row in rows}

    async def save(self, batch: KeyBatch) -> bool:
        with as_unavailable():
            async with self._postgres.transaction() as tx:
                await tx.execute(SQL["begin_key_position"], batch.partition)
                row = await tx.fetch_one(SQL["lock_key_position"], batch.partition)
                position = 0 if row is None else row["next_offset"]
                if position < batch.start:
                    return False
                records = batch.since(position)
                kept = [record for record in records if record.value is not None]
                gone = [record.key_id for record in records if record.value is None]
                ids, subjects = [record.key_id for record in kept], [record.subject for record in kept]
                await tx.execute(SQL["erase_keys"], gone)
                await tx.execute(SQL["save_keys"], ids, subjects, [record.value for record in kept])
                await tx.execute(SQL["move_key_position"], batch.partition, max(position, batch.end))
        return True

    async def find(self, key_ids: Iterable[uuid.UUID]) -> Sequence[KeyRecord]:
        with as_unavailable():
            rows = await self._postgres.fetch(SQL["find_keys"], list(key_ids))
        return [_record(row) for row in rows]

    async def find_subject(self, subject: str) -> KeyRecord | None:
        with as_unavailable():
            row = await self._postgres.fetch_one(SQL["find_key_of_subject"], subject)
        return None if row is None else _record(row)


def _record(row: Row) -> KeyRecord:
    return KeyRecord(key=f"{row['subject']}/{row['key_id']}", value=row["wrapped"])
