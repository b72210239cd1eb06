"""The rules: what was counted in one window, and what follows from it. Pure, and without a word of Faust.

A window is a stretch of time that begins at a multiple of its size since 1970, so that every worker, also one that was
restarted, finds the same. What is counted are marks, not numbers: the same event, read again, counts once.

| rule | counts, in one window | concludes |
|---|---|---|
| failures | refused passwords of an account | its owner is told |
| reuses | refresh tokens of an account that were used twice | the session is flagged, every session needs a step-up, the owner is told |
| arrivals | sign-ins of an account from an unfamiliar device or network | the owner is told of each; too many: every session needs a step-up |
| sources | accounts for which a network failed | sessions that it then starts are flagged and need a step-up, the owner is told |
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from events.public.session import RefreshReused, SessionStarted
from events.risk import RiskReason
from projectors.risk.signals import GUESSES, Signal

Rule = Literal["failures", "reuses", "arrivals", "sources"]
RULES: tuple[Rule, ...] = ("failures", "reuses", "arrivals", "sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many within one window are too many."""

    window: timedelta
    failures: int
    reuses: int
    arrivals: int
    accounts_of_source: int

    def most(self, rule: Rule) -> int:
        match rule:
            case "failures":
                return self.failures
            case "reuses":
                return self.reuses
            case "arrivals":
                return self.arrivals
            case "sources":
                return self.accounts_of_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one window of one subject holds. More marks than the limit are not kept: nothing follows from them."""

    marks: tuple[str, ...] = ()
    is_concluded: bool = False

    @classmethod
    def of(cls, stored: Any) -> "Tally":
        """As `stored` put it into a table; anything else is an empty one."""
        return cls(marks=tuple(stored["marks"]), is_concluded=stored["is_concluded"]) if stored else cls()

    def stored(self) -> dict[str, Any]:
        return {"marks": list(self.marks), "is_concluded": self.is_concluded}

    def with_mark(self, mark: str, most: int) -> "Tally":
        if mark in self.marks or len(self.marks) >= most:
            return self
        return replace(self, marks=(*self.marks, mark))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """A command to an account. `key` is the same whenever this is concluded again from the same events."""

    command: Literal["flag", "step-up", "notice"]
    account_id: str
    session_id: str | None
    reason: RiskReason
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """That a signal counts: for which rule, in whose window, under which mark."""

    rule: Rule
    subject: str
    mark: str


def window_start(at: datetime, size: timedelta) -> datetime:
    seconds, length = at.timestamp(), size.total_seconds()
    return datetime.fromtimestamp(seconds - seconds % length, UTC)


def count_of(signal: Signal) -> Count | None:
    """What the account's own window counts of it."""
    event = signal.event
    match event:
        case RefreshReused():
            return Count(rule="reuses", subject=event.account_id, mark=signal.position)
        case SessionStarted():
            arrives = Count(rule="arrivals", subject=event.account_id, mark=signal.position)
            return arrives if event.unfamiliar else None
        case _:
            guesses = Count(rule="failures", subject=event.account_id, mark=signal.position)
            return guesses if event.cause in GUESSES else None


def conclusions_of(signal: Signal, before: Tally, after: Tally, limits: Limits) -> tuple[Conclusion, ...]:
    """What follows from one more signal in its account's window. Repeated until the window says it is concluded."""
    event, start = signal.event, window_start(signal.at, limits.window)
    found: list[Conclusion] = []
    if isinstance(event, SessionStarted) and before.marks != after.marks:
        found.append(_notice(event.account_id, "unfamiliar-sign-in", f"arrival {event.session_id}"))
    count = count_of(signal)
    if count is None or after.is_concluded or len(after.marks) < limits.most(count.rule):
        return tuple(found)
    key = f"{count.rule} {count.subject} {start:%Y-%m-%dT%H:%M:%SZ}"
    match event:
        case RefreshReused():
            flag = Conclusion(
                command="flag",
                account_id=event.account_id,
                session_id=event.session_id,
                reason="refresh-reuse-burst",
                key=key,
            )
            found += [flag, *_suspect(event.account_id, None, "refresh-reuse-burst", key)]
        case SessionStarted():
            found += _suspect(event.account_id, None, "unfamiliar-burst", key)
        case _:
            found.append(_notice(event.account_id, "sign-in-failures", key))
    return tuple(found)


def conclusions_of_source(
    account_id: str, session_id: str, source: Tally, limits: Limits
) -> tuple[Conclusion, ...]:
    """What follows from a session that a source starts: nothing, unless it failed for too many accounts."""
    if len(source.marks) < limits.accounts_of_source:
        return ()
    key = f"source {session_id}"
    flag = Conclusion(
        command="flag", account_id=account_id, session_id=session_id, reason="guessing-source", key=key
    )
    return (flag, *_suspect(account_id, session_id, "guessing-source", key))


def _suspect(
    account_id: str, session_id: str | None, reason: RiskReason, key: str
) -> tuple[Conclusion, Conclusion]:
    step_up = Conclusion(
        command="step-up", account_id=account_id, session_id=session_id, reason=reason, key=key
    )
    return (step_up, _notice(account_id, reason, key))


def _notice(account_id: str, reason: RiskReason, key: str) -> Conclusion:
    return Conclusion(command="notice", account_id=account_id, session_id=None, reason=reason, key=key)
