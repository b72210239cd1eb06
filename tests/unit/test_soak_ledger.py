"""The ledger of soak runs: lines add up, and no run repeats another."""

from pathlib import Path

import pytest

from tests.soak.ledger import PAGE, Ledger, Line

LINE = Line(date="2026-01-31", commit="abc", what="simulation", first_seed=100, count=50, failures=())


@pytest.mark.parametrize("failures", [[], ["104"], ["104", "149"]])
def test_a_line_survives_its_rendering(failures: list[str]) -> None:
    line = Line(
        date="2026-01-31", commit="abc", what="simulation", first_seed=100, count=50, failures=failures
    )
    assert Line.parse(line.render()) == line


def test_the_next_run_begins_behind_the_last_of_its_kind(tmp_path: Path) -> None:
    page = tmp_path / "soak.md"
    page.write_text(PAGE.read_text().partition("| 2")[0])
    ledger = Ledger(page)
    assert ledger.next_seed("simulation", 7) == 7
    ledger.add(LINE)
    assert (ledger.next_seed("simulation", 7), ledger.next_seed("kills", 7)) == (150, 7)
