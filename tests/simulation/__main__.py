"""`python -m tests.simulation --schedules N --seed S`: run schedules, or see one again with `--replay SEED`."""

import argparse
import sys

from tests.simulation.bugs import BUGS
from tests.simulation.many import Order, run_many, told
from tests.simulation.run import run_schedule
from tests.simulation.trace import trace


def main() -> int:
    """0 if every schedule was all right, else 1."""
    arguments = _arguments()
    if arguments.replay is not None:
        return _replay(arguments.replay, arguments.bug)
    order = Order(
        first=arguments.seed,
        count=arguments.schedules,
        jobs=arguments.jobs,
        bug=arguments.bug,
        only_first_failure=arguments.first_failure,
    )
    tally = run_many(order, _say)
    _say(f"done: {tally}")
    return 1 if tally.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; the next have the next")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first-failure", action="store_true", help="stop at the first schedule that fails")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one and print what happened")
    parser.add_argument("--bug", choices=sorted(BUGS), help="sow a bug that must be found")
    return parser.parse_args()


def _replay(seed: int, bug: str | None) -> int:
    verdict = run_schedule(seed, BUGS[bug] if bug else None)
    assert verdict.world is not None
    _say("\n".join(trace(verdict.world)))
    _say(told(verdict, bug) if verdict.failures else f"seed {seed} is all right, digest {verdict.digest}")
    return 1 if verdict.failures else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a command line prints


if __name__ == "__main__":
    sys.exit(main())
