"""What was asked, and what each try came to: the line that the judge holds against the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eventstore.commit import Position

Outcome = Literal["open", "ok", "nothing", "unknown"]
"""Not answered (yet); answered; answered that nothing was changed; answered that nobody knows."""
Reply = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of an operation at one replica. Its commits carry `trace`. Steps order it among all others."""

    trace: str
    replica: str
    invoked_step: int
    answered_step: int = -1
    outcome: Outcome = "open"
    reply: Reply | None = None
    position: Position | None = None

    def __str__(self) -> str:
        steps = f"steps {self.invoked_step:5} to {self.answered_step:5}"
        reply = "" if self.reply is None else dict(self.reply)
        return (
            f"{self.trace:7} at {self.replica:12} {steps} {self.outcome:8} {self.position or ''!s:5} {reply}"
        )


@dataclass(slots=True, kw_only=True)
class History:
    """All attempts by the name of their operation, and what must never be heard of at all."""

    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    outrages: list[str] = field(default_factory=list)

    def begin(self, operation: str, replica: str, step: int, forwarded: str = "") -> Attempt:
        """A forwarded one is an attempt of its own, whose trace goes on where the first one's ends."""
        before = self.attempts.setdefault(operation, [])
        trace = f"{forwarded}>{len(before)}" if forwarded else f"{operation}#{len(before)}"
        attempt = Attempt(trace=trace, replica=replica, invoked_step=step)
        before.append(attempt)
        return attempt

    def in_order(self) -> list[Attempt]:
        """All attempts, as they began."""
        attempts = [attempt for tries in self.attempts.values() for attempt in tries]
        return sorted(attempts, key=lambda attempt: (attempt.invoked_step, attempt.trace))
