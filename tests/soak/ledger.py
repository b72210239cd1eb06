"""The page that adds up what soak runs have covered: one line for each run, never changed afterwards."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "soak.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`failures` names the seeds that failed, by whatever name the kind of run has for them."""

    date: str
    commit: str
    what: str
    first_seed: int
    count: int
    failures: Sequence[str]

    def render(self) -> str:
        failed = " ".join(self.failures) or "0"
        return (
            f"| {self.date} | {self.commit} | {self.what} | {self.first_seed} | {self.count} | {failed} |\n"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        date, commit, what, first_seed, count, failed = (
            cell.strip() for cell in text.strip(" |\n").split("|")
        )
        return cls(
            date=date,
            commit=commit,
            what=what,
            first_seed=int(first_seed),
            count=int(count),
            failures=[] if failed == "0" else failed.split(),
        )


class Ledger:
    def __init__(self, page: Path = PAGE) -> None:
        self._page = page

    def add(self, line: Line) -> None:
        with self._page.open("a") as page:
            page.write(line.render())

    def next_seed(self, what: str, first: int) -> int:
        """Behind the last run of this kind, so that no run repeats another."""
        return max(
            (line.first_seed + line.count for line in self._lines() if line.what == what), default=first
        )

    def _lines(self) -> list[Line]:
        rows = [row for row in self._page.read_text().splitlines() if row.startswith("| 2")]
        return [Line.parse(row) for row in rows]


def commit_of_tree() -> str:
    """The commit that is checked out, marked if files differ from it, other than the page of earlier runs."""
    commit = _git("describe", "--always")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{PAGE.relative_to(ROOT)}")
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
