"""The rules: what was counted in one window, and what follows from it. Pure, and without a word of Faust.

A window is a stretch of time that begins at a multiple of its size since 1970, so that every worker, also one that was
restarted, finds the same. What is counted are marks, not numbers: the same event, read again, counts once.

| rule | counts, in one window | concludes |
|---|---|---|
| failures | refused passwords and wrong codes of second factors of an account | its owner is told |
| reuses | refresh tokens of an account that were used twice | the session is flagged, every session needs a step-up, the owner is told |
| arrivals | sign-ins of an account from an unfamiliar device or network | the owner is told of each; too many: every session needs a step-up |
| sources | accounts for which a network failed | sessions that it then starts are flagged and need a step-up, the owner is told |
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from events.public.session import RefreshReused, SessionStarted
from events.risk import RiskReason
from projectors.risk.signals import GUESSES, Signal

Rule = Literal["failures", "reuses", "arrivals", "sources"]
HISTORY = timedelta(days=1)
"""What is older is no risk any more. A worker that begins with the whole feed passes it by, and tells nobody of it."""
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


def is_history(at: datetime, now: datetime) -> bool:
    return now - at > HISTORY


def is_ahead(at: datetime, now: datetime) -> bool:
    """So far that no clock of ours has told it. Its window would be kept until then."""
    return at - now > HISTORY


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


def judge(
    signal: Signal, count: Count, before: Tally, limits: Limits
) -> tuple[Tally, tuple[Conclusion, ...]]:
    """One more signal in its window: what the window holds then, and what follows.

    The conclusions come first: a window that says it is concluded, and whose conclusions were lost, is silent for ever.
    """
    most = limits.most(count.rule)
    after = before.with_mark(count.mark, most)
    found = list(_arrival(signal) if before.marks != after.marks else ())
    is_too_much = len(after.marks) >= most
    if is_too_much and not before.is_concluded:
        start = window_start(signal.at, limits.window)
        found += _burst(signal, f"{count.rule} {count.subject} {start:%Y-%m-%dT%H:%M:%SZ}")
    return replace(after, is_concluded=is_too_much), tuple(found)


def _arrival(signal: Signal) -> Iterator[Conclusion]:
    event = signal.event
    if isinstance(event, SessionStarted):
        yield _notice(event.account_id, "unfamiliar-sign-in", f"arrival {event.session_id}")


def _burst(signal: Signal, key: str) -> Iterator[Conclusion]:
    event = signal.event
    match event:
        case RefreshReused():
            reason: RiskReason = "refresh-reuse-burst"
            yield _flag(event.account_id, event.session_id, reason, key)
            yield from _suspect(event.account_id, None, reason, key)
        case SessionStarted():
            yield from _suspect(event.account_id, None, "unfamiliar-burst", key)
        case _:
            yield _notice(event.account_id, "sign-in-failures", key)


def conclusions_of_source(
    account_id: str, session_id: str, at: float, source: Tally, limits: Limits
) -> tuple[Conclusion, ...]:
    """What follows from a session that a source starts: nothing, unless it failed for too many accounts.

    The owner is told once in a window, however many sessions there are: a flood would use up what the owner is due.
    """
    if len(source.marks) < limits.accounts_of_source:
        return ()
    key = f"source {session_id}"
    reason: RiskReason = "guessing-source"
    flag = _flag(account_id, session_id, reason, key)
    step_up, _ = _suspect(account_id, session_id, reason, key)
    window = int(at // limits.window.total_seconds())
    return (flag, step_up, _notice(account_id, reason, f"source of {account_id} {window}"))


def _flag(account_id: str, session_id: str, reason: RiskReason, key: str) -> Conclusion:
    return Conclusion(command="flag", account_id=account_id, session_id=session_id, reason=reason, key=key)


def _suspect(
    account_id: str, session_id: str | None, reason: RiskReason, key: str
) -> tuple[Conclusion, Conclusion]:
    step_up = Conclusion(
        command="step-up", account_id=account_id, session_id=session_id, reason=reason, key=key
    )
    return (step_up, _notice(account_id, reason, key))


def _notice(account_id: str, reason: RiskReason, key: str) -> Conclusion:
    return Conclusion(command="notice", account_id=account_id, session_id=None, reason=reason, key=key)
