"""A builder of tables that can be killed between any two of its projectors' statements, and after the last."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from projectors.follower import Batch
from projectors.parking import Placed
from projectors.projector import Projector
from projectors.tables import Apply, Tables
from runtime.postgres import Connection, Row


class KilledError(Exception):
    """Stands for a kill between two statements: the transaction is never committed."""


class MortalTables(Tables):
    """It dies once it has made `statements_left` statements; None lets it live."""

    statements_left: int | None = None

    async def _advance(self, batches: Mapping[int, Batch], apply: Apply) -> None:
        async def die_somewhere(
            tx: Connection, projector: Projector, facts: Sequence[Placed], parked: set[str]
        ) -> None:
            await apply(MortalConnection(tx, self), projector, facts, parked)
            self.die_or_live()

        await super()._advance(batches, die_somewhere)

    def die_or_live(self) -> None:
        if self.statements_left == 0:
            raise KilledError

    def make_statement(self) -> None:
        self.die_or_live()
        if self.statements_left is not None:
            self.statements_left -= 1


class MortalConnection(Connection):
    """The connection, counting."""

    def __init__(self, tx: Connection, tables: MortalTables) -> None:
        self._tx = tx
        self._tables = tables

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        self._tables.make_statement()
        return await self._tx.fetch(sql, *values)

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        self._tables.make_statement()
        return await self._tx.fetch_one(sql, *values)

    async def execute(self, sql: str, *values: Any) -> None:
        self._tables.make_statement()
        await self._tx.execute(sql, *values)

    async def copy(
        self, schema: str, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> None:
        self._tables.make_statement()
        await self._tx.copy(schema, table, columns, records)

    async def stream(self, sql: str, *values: Any) -> AsyncIterator[Row]:
        self._tables.make_statement()
        async for row in self._tx.stream(sql, *values):
            yield row
