"""What a projector is: facts in, rows out, for one table.

Laws: applying is deterministic, looks at nothing but the facts and its own rows, and does not depend on how
the facts were cut into batches. It is never asked to apply a fact twice; its checkpoint sees to that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from events.fact import Event
from eventstore.facts import RecordedFact
from runtime.postgres import Connection

Row = TypeVar("Row")


class Projector(Protocol):
    @property
    def name(self) -> str:
        """The read model with its version, e.g. `sessions_v1`: its table, and in the checkpoints."""
        ...

    @property
    def parks(self) -> bool:
        """Whether a stream may be set aside. Not where a token's fate depends on what is missing then."""
        ...

    @property
    def handles(self) -> frozenset[type[Event]]: ...

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None: ...


class Versioned:
    """A projector of one version's table. Versions of a release differ in nothing but the table's name."""

    read_model: ClassVar[str]

    def __init__(self, version: int) -> None:
        self.name = f"{self.read_model}_v{version}"


def fold_rows(
    rows: Mapping[str, Row],
    facts: Iterable[tuple[str, RecordedFact]],
    evolve: Callable[[Row | None, RecordedFact], Row | None],
) -> tuple[list[Row], list[str]]:
    """Fold facts, each with its row's key, into the stored rows: the rows to write, the keys to delete."""
    folded: dict[str, Row | None] = dict(rows)
    for key, fact in facts:
        folded[key] = evolve(folded.get(key), fact)
    changed = [row for key, row in folded.items() if row is not None and row != rows.get(key)]
    gone = [key for key, row in folded.items() if row is None and key in rows]
    return changed, gone


def as_json(rows: Sequence[Any]) -> str:
    """Rows as one parameter, for `json_populate_recordset`."""
    return msgspec.json.encode(rows).decode()


def as_columns(row_type: type[msgspec.Struct], rows: Sequence[Any]) -> list[list[Any]]:
    """Rows, at least one, as one list for each field of their struct, in its order, for `unnest`; tuples as words of one text.

    PostgreSQL cannot unnest lists of lists by rows.
    """
    columns = [[getattr(row, name) for row in rows] for name in row_type.__struct_fields__]
    return [
        [" ".join(value) for value in column] if isinstance(column[0], tuple) else column
        for column in columns
    ]


def storable(text: str | None) -> str | None:
    """PostgreSQL's text has no NUL; whatever client sent one must not halt a partition with it."""
    return text.replace("\x00", "\ufffd") if text is not None and "\x00" in text else text
