"""How far the risk worker has come in each partition: exactly as far as it has handled everything.

Faust would commit also what it skipped, what it cancelled and what failed. So it commits nothing here, and is believed
nothing: a place moves from one event to the next, and an event that is missing between two is an alarm.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

P = TypeVar("P", bound=Hashable)


class SkippedError(Exception):
    """Events were passed over. They are read again from the place that was committed."""


class Places(Generic[P]):
    """By partition: the offset that is read next."""

    def __init__(self) -> None:
        self._next: dict[P, int] = {}
        self._committed: dict[P, int] = {}

    def handled(self, partition: P, offset: int) -> None:
        """SkippedError if it is not the next one. One that was handled before is no news."""
        expected = self._next.get(partition, offset)
        if offset > expected:
            raise SkippedError(f"{partition}: {offset} came where {expected} was next")
        self._next[partition] = max(expected, offset + 1)

    def forget(self) -> None:
        """Partitions were dealt out anew: each is read from the place that was committed last, by whoever has it."""
        self._next.clear()
        self._committed.clear()

    def known(self) -> Mapping[P, int]:
        return dict(self._next)

    def to_commit(self) -> Mapping[P, int]:
        return {p: offset for p, offset in self._next.items() if self._committed.get(p) != offset}

    def committed(self, places: Mapping[P, int]) -> None:
        self._committed.update({p: offset for p, offset in places.items() if p in self._next})
