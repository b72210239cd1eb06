"""How often something may happen, as settings say it: `600/60` is 600 times within 60 seconds, `0` is no limit."""

import re
from dataclasses import dataclass

_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})")
OFF = "0"


@dataclass(frozen=True, slots=True)
class Rate:
    """A count of 0 means that there is no limit."""

    count: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds}" if self.count else OFF


def parse_rate(text: object) -> object:
    """As pydantic wants it: what is no text passes through, and a ValueError says what would be right."""
    if not isinstance(text, str):
        return text
    if text.strip() == OFF:
        return Rate(0, 1)
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be a count and seconds, as in 600/60, or 0 for no limit")
    return Rate(int(match[1]), int(match[2]))
