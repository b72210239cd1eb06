"""How bad a schedule is: how long everything takes, and how often which fault comes."""

import random
from dataclasses import dataclass, replace
from typing import Self

_SELDOM = (0.0, 0.0, 0.01, 0.05)
_OFTEN = (0.0, 0.0, 0.05, 0.2)
_DELAYS = (0.0002, 0.003, 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Chances of faults, for each request or each append; delays are drawn around `delay_seconds`."""

    delay_seconds: float = 0.0
    late_seconds: float = 0.0
    slow: float = 0.0
    """A delay of another order."""
    refused: float = 0.0
    """A request that fails, without effect."""
    unanswered: float = 0.0
    """A request that takes effect, and whose answer is lost."""
    late: float = 0.0
    """A request that is said to have failed, and takes effect afterwards."""
    silent: float = 0.0
    """A read that brings nothing."""
    lost: float = 0.0
    """An append that never arrives."""
    unacknowledged: float = 0.0
    """An append that arrives, and is said to have failed."""
    postponed: float = 0.0
    """An append that is said to have failed, and arrives afterwards."""
    doubled: float = 0.0
    """An append that arrives twice."""
    reordered: float = 0.0
    """An append that does not keep its place."""
    offsetless: float = 0.0
    """An acknowledgement with offset -1."""

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(
            delay_seconds=chance.choice(_DELAYS),
            late_seconds=chance.choice((0.05, 0.5, 3.0)),
            slow=chance.choice(_OFTEN),
            refused=chance.choice(_SELDOM),
            unanswered=chance.choice(_SELDOM),
            late=chance.choice(_SELDOM),
            silent=chance.choice(_SELDOM),
            lost=chance.choice(_OFTEN),
            unacknowledged=chance.choice(_OFTEN),
            postponed=chance.choice(_OFTEN),
            doubled=chance.choice(_OFTEN),
            reordered=chance.choice(_OFTEN),
            offsetless=chance.choice(_OFTEN),
        )

    @property
    def outage(self) -> Self:
        """While nothing can be asked of any store, and appends may still arrive."""
        return replace(self, refused=0.95, lost=0.4, unacknowledged=0.3, postponed=0.3)


CALM = Weather()
