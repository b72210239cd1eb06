"""Many schedules on several processors, with whoever waits told how it goes."""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.bugs import BUGS
from tests.simulation.run import Verdict, run_schedule

_CHUNK = 50
_SECONDS_BETWEEN_LINES = 5.0
Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many schedules were run, and the verdicts on those that failed."""

    first: int
    schedules: int = 0
    failed: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.schedules / self.seconds if self.seconds else 0.0
        return f"{self.schedules} schedules, {len(self.failed)} failed, {self.seconds:.0f} s, {rate:.0f} a second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The schedules of `count` seeds from `first` on, or up to the first that fails."""

    first: int
    count: int
    jobs: int
    bug: str | None = None
    only_first_failure: bool = False


def run_many(order: Order, say: Say) -> Tally:
    tally, started, said_at = Tally(first=order.first), time.monotonic(), 0.0
    for verdicts in _chunks(order):
        tally.schedules += len(verdicts)
        tally.seconds = time.monotonic() - started
        for verdict in verdicts:
            if verdict.failures:
                tally.failed.append(verdict)
                say(told(verdict, order.bug))
                if order.only_first_failure:
                    return tally
        if tally.seconds - said_at > _SECONDS_BETWEEN_LINES:
            said_at = tally.seconds
            say(str(tally))
    return tally


def told(verdict: Verdict, bug: str | None) -> str:
    """What failed, and how to see it again."""
    sown = f" --bug {bug}" if bug else ""
    again = f"python -m tests.simulation --replay {verdict.seed}{sown}"
    return "\n".join(
        [f"seed {verdict.seed} failed, digest {verdict.digest}; again with: {again}", *verdict.failures[:5]]
    )


def _chunks(order: Order) -> Iterator[Sequence[Verdict]]:
    """In the order of their seeds."""
    end = order.first + order.count
    starts = deque(range(order.first, end, _CHUNK))
    with ProcessPoolExecutor(max_workers=order.jobs) as pool:
        running: deque[Future[list[Verdict]]] = deque()
        while starts or running:
            while starts and len(running) < 2 * order.jobs:
                start = starts.popleft()
                running.append(pool.submit(_chunk, start, min(_CHUNK, end - start), order.bug))
            yield running.popleft().result()


def _chunk(first: int, count: int, bug: str | None) -> list[Verdict]:
    """The collector of cycles runs between chunks, not within: it would take a third of the time."""
    gc.disable()
    verdicts = [run_schedule(seed, BUGS[bug] if bug else None) for seed in range(first, first + count)]
    gc.collect()
    return [verdict.without_world() for verdict in verdicts]
