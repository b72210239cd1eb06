"""The canonical form of a read model: its rows as text in byte order. Equal contents have equal digests.

It does not depend on how, when or by whom the table was built, so two of them can be compared.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from readmodels.tables import READ_MODELS
from runtime.postgres import Connection, Postgres
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """`sha256` is hexadecimal, over every row's text and a line feed after each."""

    read_model: str
    rows: int
    sha256: str


async def canonical_rows(tx: Connection, read_model: str) -> AsyncIterator[str]:
    """The rows, one after the other, of what serves or of one version (`sessions_v2`)."""
    async for row in tx.stream(of_table(_SQL, read_model)["rows"]):
        yield row["row"]


async def digests(postgres: Postgres, read_models: Sequence[str] = READ_MODELS) -> tuple[Digest, ...]:
    """Of one moment, in the order given."""
    async with one_moment(postgres) as tx:
        return tuple([await digest_of(tx, name) for name in read_models])


@asynccontextmanager
async def one_moment(postgres: Postgres) -> AsyncIterator[Connection]:
    """A transaction that sees nothing of what others do meanwhile."""
    async with postgres.transaction() as tx:
        await tx.execute(_SQL["one_moment"])
        yield tx


async def digest_of(tx: Connection, read_model: str) -> Digest:
    running, rows = hashlib.sha256(), 0
    async for text in canonical_rows(tx, read_model):
        running.update(text.encode() + b"\n")
        rows += 1
    return Digest(read_model=read_model, rows=rows, sha256=running.hexdigest())
