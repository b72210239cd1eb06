"""How much a fault test does, and where it says what it saw.

The numbers are those of `make test`, multiplied by CHANCERY_SOAK_FACTOR. With CHANCERY_SOAK_RESULTS each proof
appends a line to that file, so that the trials of many runs add up.
"""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

FACTOR = int(os.environ.get("CHANCERY_SOAK_FACTOR", "1"))
_log = logging.getLogger("soak")


def times(count: int) -> int:
    """The number of trials in this run."""
    return count * FACTOR


def record(proof: str, trials: int, **figures: float | str) -> None:
    """What a proof saw: shown with `pytest --log-cli-level=info`, and appended to the results if asked for."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "proof": proof,
        "trials": trials,
        **figures,
    }
    _log.info("%s", json.dumps(line))
    file = os.environ.get("CHANCERY_SOAK_RESULTS")
    if file:
        with Path(file).open("a") as results:
            results.write(json.dumps(line) + "\n")
