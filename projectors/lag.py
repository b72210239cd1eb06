"""How long a consumer lags behind one partition, told from when the log's ends were asked for."""

from collections import deque

MOST_ENDS = 512


class Lag:
    """Times are monotonic, and before the log's end was asked for: so a lag is never told too short."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, int]] = deque()
        self._complete_at: float | None = None
        self.log_end: int | None = None

    def ends_at(self, end: int, asked: float) -> None:
        """The log ended there after `asked`. Of too many ends to reach the oldest stay, which are reached first."""
        self.log_end = end
        if len(self._waiting) < MOST_ENDS:
            self._waiting.append((asked, end))

    def seconds(self, next_offset: int, now: float) -> float | None:
        """Everything that the log held so long ago is applied up to `next_offset`; None if no end was reached yet."""
        while self._waiting and self._waiting[0][1] <= next_offset:
            self._complete_at = self._waiting.popleft()[0]
        return None if self._complete_at is None else now - self._complete_at
