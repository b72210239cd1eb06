"""docs/how-to/check-an-installation.md: a row for each check, and a sample as this release prints it."""

from collections import Counter
from pathlib import Path

from cli.doctor.checks import all_checks
from cli.doctor.rights import RIGHTS
from domain.aggregates import FOLD_VERSION
from readmodels.tables import READ_MODELS

PAGE = (Path(__file__).parent.parent.parent / "docs/how-to/check-an-installation.md").read_text()
FIRST_SAMPLE = PAGE.partition("\ngreen  ")[2].partition("\n```")[0]


def test_every_check_has_a_row_on_the_page() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")]
    families = {"topics": "topic …", "projections": "projection …", RIGHTS: "rights at …"}
    for name in ("process", "clock against"):
        families |= {one.name: f"{name} …" for one in all_checks({}) if one.name.startswith(name)}
    assert {families.get(one.name, one.name) for one in all_checks({})} <= set(rows)


def test_the_sample_is_of_this_release() -> None:
    lines = f"green  {FIRST_SAMPLE}".splitlines()
    said = dict(line.removeprefix("green  ").split(": ", 1) for line in lines if line.startswith("green"))
    tables = sorted(f"{name}_v1" for name in READ_MODELS)
    assert said["read models"] == f"{', '.join(tables)} serve, made as this release makes them"
    projections = [name.split()[1] for name in said if name.startswith("projection ")]
    assert projections == [*tables, "valkey_v1"]
    assert said["write model"].startswith(f"fold version {FOLD_VERSION}, ")
    levels = Counter(line.split()[0] for line in lines[:-2])
    assert (levels, lines[-1].split()[:2]) == ({"green": len(said)}, [str(len(said)), "green"])
