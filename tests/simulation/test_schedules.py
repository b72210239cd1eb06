"""The write side under as many schedules as there is time for; `make soak` runs more."""

import pytest

from tests.support.simulating import run_simulation

SCHEDULES = 20_000


@pytest.mark.timeout(3600)
def test_no_schedule_loses_doubles_or_invents_anything() -> None:
    done = run_simulation("--schedules", str(SCHEDULES))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"done: {SCHEDULES} schedules, 0 failed" in done.stdout


def test_a_schedule_takes_the_same_steps_in_every_process() -> None:
    runs = {run_simulation("--replay", "77", hash_seed=hash_seed).stdout for hash_seed in ("0", "1", "2")}
    assert len(runs) == 1
    assert "is all right, digest" in runs.pop()
