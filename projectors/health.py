"""What a process says about its own parts: which do not work now, and why."""


class Health:
    def __init__(self) -> None:
        self._parts: dict[str, str | None] = {}

    def set(self, part: str, reason: str | None) -> None:
        """`reason` is a sentence without personal data; None means that the part works."""
        self._parts[part] = reason

    def failing(self) -> dict[str, str]:
        """The reasons by part; empty when everything works."""
        return {part: reason for part, reason in self._parts.items() if reason is not None}
