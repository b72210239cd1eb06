"""There is one list of metrics, and no way around it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from runtime.metrics import catalogue, page

ROOT = Path(__file__).parent.parent.parent
OURS = (
    "cli",
    "command_api",
    "domain",
    "events",
    "eventstore",
    "projectors",
    "query_api",
    "readmodels",
    "replay",
    "runtime",
)
KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


def test_the_page_is_what_the_catalogue_prints() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == page(), "run python -m runtime.metrics"


def test_names_are_as_prometheus_advises_and_stand_once() -> None:
    names = [metric.name for metric in catalogue()]
    assert len(names) == len(set(names)) > 20
    for metric in catalogue():
        assert re.fullmatch(r"chancery(_[a-z]+)+", metric.name)
        assert not metric.name.endswith("_total"), "the client adds it"
        assert (metric.kind == "histogram") <= metric.name.endswith("_seconds")
        assert metric.meaning
        assert all(metric.labels.values())


def made_elsewhere(path: Path) -> Iterator[str]:
    """Metrics of Prometheus' client that a file makes by itself."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in KINDS
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
            yield f"{path.relative_to(ROOT)}:{node.lineno}"
        if isinstance(node, ast.Import) and any(alias.name == "prometheus_client" for alias in node.names):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_metric_is_made_but_from_the_catalogue() -> None:
    files = [path for folder in OURS for path in (ROOT / folder).rglob("*.py")]
    found = [place for path in files for place in made_elsewhere(path)]
    assert {place.partition(":")[0] for place in found} == {"runtime/metrics.py"}
    assert len(found) == 3, "one for each kind"
