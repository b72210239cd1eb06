"""What the supervisor needs to know about one part of the stack to prepare, start, probe and stop it."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

INFRASTRUCTURE = ("postgres", "kafka", "valkey", "mail")
"""In the order of starting; stopping goes the other way."""
PROCESSES = ("command", "query", "projectors", "mailer", "relay", "risk")
CHECKOUT = Path(__file__).parent.parent


async def _nothing(_report: Callable[[str], None]) -> None:
    """Most parts need no preparation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user that a part runs as when we are root."""

    user_id: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: str
    command: tuple[str, ...]
    answers: Callable[[], Awaitable[bool]]
    prepare: Callable[[Callable[[str], None]], Awaitable[None]] = _nothing
    """Makes files, downloads; is told where to report a short line of progress."""
    settle: Callable[[int], Awaitable[None]] | None = None
    """Done once with the pid, unhurried, when the whole stack is ready; later starts profit."""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = CHECKOUT
    """Where it runs: what a program drops into its working directory belongs to the home, not to the checkout."""
    disk: Path | None = None
    """Where it keeps what must not be lost: it is not started while nothing can be kept there."""
    owner: Owner | None = None
    stop_signal: signal.Signals = signal.SIGTERM
