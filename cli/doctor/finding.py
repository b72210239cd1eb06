"""What a check finds, and how checks run: all at once, each within its time, whatever becomes of the others.

Law: a check that cannot be made because a store does not answer is no second red line; the store's own line is red.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from eventstore.errors import TryAgainError
from runtime.kafka import KafkaUnavailableError
from runtime.postgres import PostgresRejectedError, PostgresUnavailableError
from runtime.redis import ValkeyUnavailableError
from runtime.settings import Settings

Level = Literal["green", "yellow", "red"]
"""`yellow` is worth knowing, and nothing has to be done at once."""

LOOK_SECONDS = 4.0
"""For one check. What others need goes first, so that twice this is the most of a whole run, and a little to tidy up."""
_TIDY_SECONDS = 0.5
_UNANSWERED = (
    TryAgainError,
    KafkaUnavailableError,
    PostgresRejectedError,
    PostgresUnavailableError,
    ValkeyUnavailableError,
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. `said` and `advice` bear no secret and nothing of a person; only green ones need no advice."""

    check: str
    level: Level
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`look` may raise what stores raise. `needs` names the checks of stores that must have answered before."""

    name: str
    look: Callable[[Settings], Awaitable[Sequence[Finding]]]
    advice: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    check: Check
    findings: Sequence[Finding]
    has_answered: bool = True


def green(check: str, said: str) -> Finding:
    return Finding(check=check, level="green", said=said)


def yellow(check: str, said: str, advice: str) -> Finding:
    return Finding(check=check, level="yellow", said=said, advice=advice)


def red(check: str, said: str, advice: str) -> Finding:
    return Finding(check=check, level="red", said=said, advice=advice)


async def examine(
    checks: Sequence[Check], settings: Settings, *, seconds: float = LOOK_SECONDS
) -> tuple[Finding, ...]:
    """The findings of all checks, in their order."""
    first = [check for check in checks if not check.needs]
    outcomes = {
        one.check.name: one
        for one in await asyncio.gather(*(_outcome(check, settings, seconds) for check in first))
    }
    silent = {name for name, one in outcomes.items() if not one.has_answered}
    second = [check for check in checks if check.needs and not silent & set(check.needs)]
    for one in await asyncio.gather(*(_outcome(check, settings, seconds) for check in second)):
        outcomes[one.check.name] = one
    found: list[Finding] = []
    for check in checks:
        known = outcomes.get(check.name)
        found += _unknown(check, silent) if known is None else known.findings
    return tuple(found)


async def _outcome(check: Check, settings: Settings, seconds: float) -> Outcome:
    task = asyncio.ensure_future(check.look(settings))
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_TIDY_SECONDS)
        return _silent(check, f"no answer within {seconds:.0f} s")
    error = task.exception()
    if error is None:
        return Outcome(check=check, findings=task.result())
    if isinstance(error, _UNANSWERED):
        return _silent(check, f"does not answer ({reason_of(error)})")
    return _broken(check, error)


def _silent(check: Check, said: str) -> Outcome:
    return Outcome(check=check, findings=[red(check.name, said, check.advice)], has_answered=False)


def _broken(check: Check, error: BaseException) -> Outcome:
    """What the stores never raise: a bug here, or an answer that makes no sense. Its text may say too much."""
    said = f"the check itself broke: {type(error).__name__}"
    return Outcome(
        check=check, findings=[red(check.name, said, "Tell the developers; the other lines hold.")]
    )


def _unknown(check: Check, silent: set[str]) -> list[Finding]:
    lacking = " and ".join(name for name in check.needs if name in silent)
    return [yellow(check.name, f"not known without {lacking}", f"See the line of {lacking}.")]


def reason_of(error: BaseException) -> str:
    """The end of our own sentences, which begin with what the line names already, or with an address."""
    return str(error).rpartition(": ")[2] or type(error).__name__
