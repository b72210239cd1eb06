"""A check that cannot fail is a defect: every sown bug is found in few schedules, and its seed fails again alike."""

import pytest

from tests.simulation.bugs import BUGS
from tests.support.simulating import run_simulation

ENOUGH = 4000
"""`docs/explanation/simulation.md` says how many each needs: one close to 1,000, the others fewer than 50."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_sown_bug_is_found_and_seen_again(bug: str) -> None:
    found = run_simulation("--bug", bug, "--schedules", str(ENOUGH), "--first-failure")
    assert found.returncode == 1, found.stdout
    line = next(line for line in found.stdout.splitlines() if line.startswith("seed "))
    _, seed, _, _, digest, *_ = line.split()
    again = run_simulation("--bug", bug, "--replay", seed, hash_seed="4711")
    assert again.returncode == 1
    assert f"seed {seed} failed, digest {digest}" in again.stdout
    healthy = run_simulation("--replay", seed)
    assert (healthy.returncode, f"seed {seed} is all right" in healthy.stdout) == (0, True)
