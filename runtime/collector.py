"""Python's cycle collector, set for processes that make many short-lived objects and few cycles.

With Python's own thresholds it takes a quarter of a command's CPU time, and its longest pauses make the slowest answers
(docs/reference/benchmarks.md).
"""

import gc

_THRESHOLDS = (20_000, 20, 50)


def collect_seldom() -> None:
    """Call it once, before anything else."""
    gc.set_threshold(*_THRESHOLDS)


def freeze_what_stays() -> None:
    """What was made up to now lives as long as the process, and is never looked at again."""
    gc.collect()
    gc.freeze()
