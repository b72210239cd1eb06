"""`python -m tests.soak [KIND]`: a long run, from where the last one ended, noted in `docs/reference/soak.md`."""

import argparse
import contextlib
import sys
from datetime import UTC, datetime

from tests.simulation.many import Order
from tests.soak.kinds import KINDS, Outcome
from tests.soak.ledger import Ledger, Line, commit_of_tree


def main() -> int:
    """0 if nothing failed, else 1. A run that is interrupted is noted as far as it went."""
    arguments = _arguments()
    kind, ledger, outcome = KINDS[arguments.kind], Ledger(), Outcome()
    first = arguments.seed
    if first is None:
        first = ledger.next_seed(arguments.kind, kind.first_seed)
    commit = commit_of_tree()
    with contextlib.suppress(KeyboardInterrupt):
        kind.run(Order(first=first, count=arguments.count or kind.count, jobs=arguments.jobs), outcome)
    line = Line(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=commit,
        what=arguments.kind,
        first_seed=first,
        count=outcome.count,
        failures=outcome.failures,
    )
    ledger.add(line)
    print(line.render(), end="")  # noqa: T201  # a command line prints
    return 1 if outcome.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=sorted(KINDS), default="simulation")
    parser.add_argument("--count", type=int, help="how many; as many as the kind usually runs")
    parser.add_argument("--seed", type=int, help="the first; behind the last run of this kind")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
