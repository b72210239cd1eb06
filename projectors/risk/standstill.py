"""Whether a partition stands still although there is something to read: then Faust has forgotten to go on with it.

It happens after workers died while the group was dealing out its partitions. Only a new start mends it.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

P = TypeVar("P", bound=Hashable)

PATIENCE_SECONDS = 15.0


class StandstillError(Exception):
    """A partition has not moved for long. The process ends with it and is restarted."""


class Standstill(Generic[P]):
    """Told again and again how far every partition is and where it ends."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._since: dict[P, tuple[int, float]] = {}

    def look(self, places: Mapping[P, int], ends: Mapping[P, int], now: float) -> None:
        """`now` in seconds. StandstillError if one is short of its end and where it was that long ago."""
        for partition, place in places.items():
            before, since = self._since.get(partition, (-1, now))
            if place != before or place >= ends.get(partition, 0):
                self._since[partition] = (place, now)
            elif now - since > self._patience_seconds:
                raise StandstillError(f"{partition} stands still at {place}, short of {ends[partition]}")
        for gone in self._since.keys() - places.keys():
            del self._since[gone]
