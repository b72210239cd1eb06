"""A command on its way through its lane: waiting, in flight, or answered without an append."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.refusals import Refusal
from eventstore.commit import Position
from eventstore.draft import Decide, Done, Draft, Origin
from eventstore.errors import OutcomeUnknownError, StaleBasisError, UnavailableError
from eventstore.stream_cache import Entry


class Command:
    """One decision waiting for its outcome. `sent` has the answer that goes with each record that was sent."""

    __slots__ = ("commit_id", "deadline", "decide", "last_sent_seq", "origin", "outcome", "sent", "stream")

    def __init__(self, stream: str, decide: Decide[Any], origin: Origin, deadline: float | None) -> None:
        self.stream = stream
        self.decide = decide
        self.origin = origin
        self.deadline = deadline
        self.commit_id = origin.commit_id or ""
        self.sent: dict[str, Any] = {}
        self.last_sent_seq = -1
        self.outcome: asyncio.Future[Done[Any]] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Answered, given up, or out of time."""
        late = self.deadline is not None and self.deadline <= asyncio.get_running_loop().time()
        return late or self.outcome.done()

    def finish(self, reply: Any, position: Position) -> None:
        if not self.outcome.done():
            self.outcome.set_result(Done(reply=reply, position=position))

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def drop(self, reason: str) -> None:
        """It will not be looked at again: unknown if anything of it was sent, else not begun."""
        error: Exception = UnavailableError(reason)
        if self.sent:
            error = OutcomeUnknownError(f"{reason}; repeat with the same Idempotency-Key")
        self.fail(error)


@dataclass(slots=True, eq=False, kw_only=True)
class Sent:
    """A commit that was sent, what it changes, and its acknowledged offset once that is known."""

    command: Command
    position: Position
    hash: str
    at: datetime
    changed: dict[str, Entry]
    offset: int | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Unchanging:
    """An answer without an append: to be given once nothing is in the log, up to `end`, that it did not see."""

    command: Command
    outcome: "Outcome"
    position: Position
    basis_end: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    reply: Any


Outcome = Answered | Refusal | StaleBasisError


def decided(decide: Decide[Any], draft: Draft) -> Outcome:
    try:
        return Answered(decide(draft))
    except (Refusal, StaleBasisError) as negative:
        return negative
