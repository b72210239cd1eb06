"""The kinds of soak runs. A new one is a function from an order to what came of it, and a row in `KINDS`."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.simulation.many import Order, run_many
from tests.soak.ledger import Ledger, Line, commit_of_tree

_SLICE = 10_000


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How many were run, and the names of those that failed; kept up to date, for runs that are interrupted."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`count` is the usual number in one run; `first_seed` where the first of all runs begins."""

    run: Callable[[Order, Outcome], None]
    count: int
    first_seed: int


def simulate(order: Order, outcome: Outcome) -> None:
    """Schedules of the write side."""
    end = order.first + order.count
    for start in range(order.first, end, _SLICE):
        tally = run_many(Order(first=start, count=min(_SLICE, end - start), jobs=order.jobs), print)
        outcome.count += tally.schedules
        outcome.failures.extend(str(verdict.seed) for verdict in tally.failed)


def prove_under_faults(order: Order, outcome: Outcome) -> None:
    """All fault tests on real parts, so many times; each proof adds up in a line of its own."""
    for number in range(order.first, order.first + order.count):
        with tempfile.TemporaryDirectory() as folder:
            results, report = Path(folder) / "results.jsonl", Path(folder) / "report.xml"
            results.touch()
            command = (sys.executable, "-m", "pytest", "-q", "tests/e2e/faults", f"--junit-xml={report}")
            environment = {**os.environ, "CHANCERY_SOAK_RESULTS": str(results)}
            subprocess.run(command, env=environment, check=False)
            outcome.count += 1
            outcome.failures.extend(failed_tests(report))
            _add_up(results, number)


def failed_tests(report: Path) -> list[str]:
    """Names of the tests that failed, without spaces; `no-report` if the run itself did not end."""
    if not report.exists():
        return ["no-report"]
    cases = ET.parse(report).iter("testcase")
    return [case.attrib["name"].replace(" ", "-") for case in cases if case.find("failure") is not None]


def _add_up(results: Path, number: int) -> None:
    trials: Counter[str] = Counter()
    for line in map(json.loads, results.read_text().splitlines()):
        trials[line["proof"]] += line["trials"]
    date, commit = f"{datetime.now(UTC):%Y-%m-%d}", commit_of_tree()
    for proof, count in trials.items():
        Ledger().add(Line(date=date, commit=commit, what=proof, first_seed=number, count=count, failures=()))


KINDS: Mapping[str, Kind] = {
    "simulation": Kind(run=simulate, count=1_000_000, first_seed=1_000_000),
    "faults": Kind(run=prove_under_faults, count=1, first_seed=1),
}
