"""What processes show to Prometheus, what the dashboards ask of it, and when it raises an alarm."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.grafana.build import DASHBOARDS, FOLDER, dashboard
from runtime.metrics import catalogue
from tests.e2e.telemetry.conftest import PROCESSES, shown_metrics
from tests.support.chancery import PASSWORD, Chancery
from tests.support.prometheus import Prometheus, open_prometheus, promtool
from tests.support.rpc import asking
from tests.support.tasks import eventually

ROOT = Path(__file__).parent.parent.parent.parent
RULES = ROOT / "deploy" / "prometheus"
PANELS = [(name, panel) for name, panels in DASHBOARDS.items() for panel in panels]


async def test_every_process_shows_the_metrics_that_it_is_said_to_and_no_others(watched: Chancery) -> None:
    for where, text in (await shown_metrics(watched)).items():
        process = where.removeprefix("metrics of ")
        families = {
            family.name: family
            for family in text_string_to_metric_families(text.decode())
            if family.samples
            and not family.name.startswith("process_")
            and not family.name.endswith("_created")
        }
        told = {
            metric.name: metric
            for metric in catalogue()
            if metric.shown_by == "all" or process in metric.shown_by.split(", ")
        }
        unlabelled = {name for name, metric in told.items() if not metric.labels}
        assert unlabelled <= set(families) <= set(told), process
        for name, family in families.items():
            assert family.type == told[name].kind
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(told[name].labels), name


@pytest.fixture(scope="module")
async def prometheus(
    watched: Chancery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """It has seen somebody sign up, in, refresh, be checked and fail, more than once."""
    targets = [f"127.0.0.1:{watched.settings[f'CHANCERY_{name.upper()}_PORT']}" for name in PROCESSES]
    async with open_prometheus(tmp_path_factory.mktemp("prometheus"), targets, watched.http) as opened:
        for _ in range(2):
            await live(watched)
            await opened.until_scraped()
        yield opened


async def live(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await chancery.sign_in(person.email, PASSWORD + "?")
    await chancery.refresh(person.tokens["refresh_token"])
    await chancery.introspect(person.tokens["access_token"])
    async with asking(chancery) as caller:
        await caller.validate(person.tokens["access_token"])


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel.title}" for name, panel in PANELS])
async def test_every_panel_shows_something(name: str, panel: Any, prometheus: Prometheus) -> None:
    for legend, query in panel.queries.items():
        expr = query.replace("$__rate_interval", "1m")

        async def has_values(expr: str = expr) -> bool:
            return bool(await prometheus.ask(expr))

        await eventually(has_values, within_seconds=15)
        for labels, value in await prometheus.ask(expr):
            assert value >= 0, "a panel never shows a negative number, or none"
            named = set(re.findall(r"\{\{(\w+)\}\}", legend))
            assert named <= set(labels) or "vector(0)" in query, (name, panel.title)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_dashboards_are_what_their_source_makes(name: str) -> None:
    assert json.loads((FOLDER / f"{name}.json").read_text()) == dashboard(name, DASHBOARDS[name])


def alerts() -> Iterator[Mapping[str, Any]]:
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    promtool("check", "rules", str(RULES / "alerts.yml"))
    promtool("test", "rules", str(RULES / "alerts_test.yml"))
    outcomes: dict[str, set[bool]] = {}
    for case in yaml.safe_load((RULES / "alerts_test.yml").read_text())["tests"]:
        for judged in case["alert_rule_test"]:
            outcomes.setdefault(judged["alertname"], set()).add(bool(judged["exp_alerts"]))
    assert outcomes == {alert["alert"]: {True, False} for alert in alerts()}


def test_every_alert_has_its_page_and_every_page_is_reached() -> None:
    index = (ROOT / "docs" / "runbook" / "README.md").read_text()
    pages = {alert["annotations"]["runbook"] for alert in alerts()}
    for alert in alerts():
        page = ROOT / alert["annotations"]["runbook"]
        assert all(f"**{part}" in page.read_text() for part in ("Symptom", "Check", "Act")), page
        assert re.search(rf"\({page.name}\) \|.*\b{alert['alert']}\b", index), alert["alert"]
    assert pages == {f"docs/runbook/{path.name}" for path in (ROOT / "docs/runbook").glob("[a-z]*.md")}


@pytest.mark.parametrize("alert", list(alerts()), ids=lambda alert: alert["alert"])
async def test_alerts_ask_for_metrics_that_exist_and_a_healthy_platform_raises_none(
    alert: Mapping[str, Any], prometheus: Prometheus
) -> None:
    ours = set(re.findall(r"\bchancery_\w+", alert["expr"]))
    known = {
        name
        for metric in catalogue()
        for name in (metric.name, f"{metric.name}_total", f"{metric.name}_count")
    }
    assert ours <= known
    assert not await prometheus.ask(alert["expr"])
