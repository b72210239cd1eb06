"""Folded streams in memory: those that changed since the checkpoint, and as many others as fit."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_OVERHEAD_BYTES = 600
_EXPANSION = 6
"""Measured: a state of n bytes of JSON takes about 600 + 6 n bytes as Python objects."""
_UNKNOWN_BYTES = 400


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream's state after its event `version`, said at `at`. `json_bytes` is how long the state is when stored."""

    state: Any
    version: int
    at: datetime
    json_bytes: int = _UNKNOWN_BYTES

    @property
    def cost(self) -> int:
        return _OVERHEAD_BYTES + _EXPANSION * self.json_bytes


class StreamCache:
    """Changed streams stay until they are saved. Unchanged ones go, the longest unused first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._clean: OrderedDict[str, Entry] = OrderedDict()
        self._clean_bytes = 0
        self._changed: dict[str, Entry] = {}

    @property
    def changed(self) -> Mapping[str, Entry]:
        return self._changed

    def get(self, stream: str) -> Entry | None:
        entry = self._changed.get(stream)
        if entry is None:
            entry = self._clean.get(stream)
            if entry is not None:
                self._clean.move_to_end(stream)
        return entry

    def __contains__(self, stream: str) -> bool:
        return stream in self._changed or stream in self._clean

    def change(self, stream: str, entry: Entry) -> None:
        self._drop_clean(stream)
        self._changed[stream] = entry

    def keep(self, stream: str, entry: Entry) -> None:
        """Remember what was read from the write model."""
        self._drop_clean(stream)
        self._clean[stream] = entry
        self._clean_bytes += entry.cost
        while self._clean_bytes > self._max_bytes and len(self._clean) > 1:
            _, gone = self._clean.popitem(last=False)
            self._clean_bytes -= gone.cost

    def saved(self, stream: str, entry: Entry) -> None:
        """What was saved may go, unless it changed meanwhile."""
        present = self._changed.get(stream)
        if present is not None and present.version == entry.version:
            del self._changed[stream]
            self.keep(stream, entry)

    def clear(self) -> None:
        self._clean.clear()
        self._changed.clear()
        self._clean_bytes = 0

    def _drop_clean(self, stream: str) -> None:
        known = self._clean.pop(stream, None)
        if known is not None:
            self._clean_bytes -= known.cost
