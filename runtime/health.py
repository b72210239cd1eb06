"""What a process says about its own parts: which do not work now, and why."""

import time


class Health:
    """A part that was set with a life in seconds fails by itself when nobody says again that it works."""

    def __init__(self) -> None:
        self._reasons: dict[str, str | None] = {}
        self._until: dict[str, float] = {}

    def set(self, part: str, reason: str | None, *, life_seconds: float | None = None) -> None:
        """`reason` is a sentence without personal data; None means that the part works."""
        self._reasons[part] = reason
        if life_seconds is not None and reason is None:
            self._until[part] = time.monotonic() + life_seconds

    def failing(self) -> dict[str, str]:
        """The reasons by part; empty when everything works."""
        now = time.monotonic()
        silent = {part: "no sign of life" for part, until in self._until.items() if now > until}
        return silent | {part: reason for part, reason in self._reasons.items() if reason is not None}
