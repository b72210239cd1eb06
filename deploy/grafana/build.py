"""The dashboards: `python -m deploy.grafana.build` writes one JSON file each for Grafana to provision.

A panel is a title, a unit of Grafana and queries by their legends. `tests/e2e/test_dashboards.py` asks a real Prometheus each of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
_WIDTH, _HEIGHT, _EACH_ROW = 24, 8, 3
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_HTTP = "chancery_http_request_seconds"
_OURS = 'route!~"/health/.*|/metrics"'
"""What clients ask, not what watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    queries: Mapping[str, str]
    """By legend, which may name labels: `{{consumer}}`."""
    unit: str = "short"


def _quantiles(histogram: str, by: str = "") -> Mapping[str, str]:
    more = f", {by}" if by else ""
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{q}": f"histogram_quantile(0.{q}, sum by (le{more}) (rate({histogram}_bucket[$__rate_interval])))"
        for q in ("50", "99")
    }


def _rate(series: str, by: str) -> str:
    return f"sum by ({by}) (rate({series}[$__rate_interval]))"


DASHBOARDS: Mapping[str, Sequence[Panel]] = {
    "overview": (
        Panel(title="Processes that answer", queries={"{{instance}}": 'up{job="chancery"}'}),
        Panel(title="Parts that do not work", queries={"parts": "sum(chancery_part_failing) or vector(0)"}),
        Panel(
            title="Requests by status",
            unit="reqps",
            queries={"{{status}}": _rate(f"{_HTTP}_count", "status")},
        ),
        Panel(
            title="Share of 5xx",
            unit="percentunit",
            queries={
                "5xx": f'(sum(rate({_HTTP}_count{{status=~"5..",{_OURS}}}[$__rate_interval])) or vector(0))'
                f" / sum(rate({_HTTP}_count{{{_OURS}}}[$__rate_interval]))"
            },
        ),
        Panel(title="Latency of requests", unit="s", queries=_quantiles(_HTTP)),
        Panel(title="Memory", unit="bytes", queries={"{{instance}}": "process_resident_memory_bytes"}),
        Panel(
            title="CPU",
            queries={"{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"},
        ),
        Panel(title="Open files", queries={"{{instance}}": "process_open_fds"}),
        Panel(title="Tasks", queries={"{{instance}}": "chancery_tasks"}),
    ),
    "write-path": (
        Panel(
            title="Decisions by outcome",
            unit="ops",
            queries={"{{outcome}}": _rate("chancery_decision_seconds_count", "outcome")},
        ),
        Panel(
            title="Time to an acknowledged commit",
            unit="s",
            queries=_quantiles("chancery_decision_seconds", "category"),
        ),
        Panel(title="Commands that wait", queries={"{{instance}}": "chancery_commands_open"}),
        Panel(title="Passwords in work", queries={"{{instance}}": "chancery_passwords_in_work"}),
        Panel(
            title="Void records",
            unit="ops",
            queries={"{{instance}}": "rate(chancery_void_records_total[$__rate_interval])"},
        ),
        Panel(
            title="Commands by route",
            unit="reqps",
            queries={"{{method}} {{route}}": _rate(f'{_HTTP}_count{{method!="GET"}}', "method, route")},
        ),
        Panel(title="Mails", unit="ops", queries={"{{outcome}}": _rate("chancery_mails_total", "outcome")}),
    ),
    "projections": (
        Panel(
            title="Lag",
            unit="s",
            queries={"{{consumer}}": "max by (consumer) (chancery_projector_lag_seconds)"},
        ),
        Panel(
            title="Records behind",
            queries={"{{consumer}}": "sum by (consumer) (chancery_projector_lag_records)"},
        ),
        Panel(
            title="Events applied",
            unit="ops",
            queries={"{{projector}}": _rate("chancery_projector_events_total", "projector")},
        ),
        Panel(
            title="Parked streams",
            queries={"{{projector}}": "sum by (projector) (chancery_projector_parked_streams) or vector(0)"},
        ),
        Panel(
            title="Halted partitions",
            queries={"{{consumer}}": "sum by (consumer) (chancery_projector_halted_partitions) or vector(0)"},
        ),
        Panel(
            title="Public events",
            unit="ops",
            queries={"{{type}}": _rate("chancery_relayed_events_total", "type")},
        ),
    ),
    "tokens": (
        Panel(
            title="Checks over HTTP",
            unit="reqps",
            queries={
                "{{route}} {{status}}": _rate(
                    f'{_HTTP}_count{{route=~"/oauth/introspect|/v1/tokens/validate|/v1/forward-auth"}}',
                    "route, status",
                )
            },
        ),
        Panel(
            title="Calls over gRPC",
            unit="reqps",
            queries={"{{method}} {{status}}": _rate("chancery_grpc_call_seconds_count", "method, status")},
        ),
        Panel(
            title="Latency over gRPC", unit="s", queries=_quantiles("chancery_grpc_call_seconds", "method")
        ),
        Panel(
            title="Age of what is known of revocations",
            unit="s",
            queries={"{{instance}}": "chancery_revocations_age_seconds"},
        ),
        Panel(title="Tokens in memory", queries={"{{instance}}": "chancery_tokens_cached"}),
        Panel(
            title="Circuits that are open",
            queries={"{{instance}} {{store}}": "chancery_circuit_open"},
        ),
        Panel(title="Requests in work", queries={"{{instance}}": "chancery_requests_in_work"}),
        Panel(
            title="Requests shed",
            unit="reqps",
            queries={"{{instance}}": "rate(chancery_requests_shed_total[$__rate_interval])"},
        ),
    ),
    "security": (
        Panel(
            title="Sign-ins",
            unit="reqps",
            queries={
                "{{status}}": _rate(f'{_HTTP}_count{{route="/v1/sessions",method="POST"}}', "status"),
            },
        ),
        Panel(
            title="Refused by a limit",
            unit="reqps",
            queries={"{{limit}}": _rate("chancery_rate_limited_total", "limit") + " or vector(0)"},
        ),
        Panel(title="Limits counted alone", queries={"{{instance}}": "chancery_rate_limits_alone"}),
        Panel(
            title="Refresh tokens used twice",
            queries={
                "in 15 minutes": "sum(increase(chancery_relayed_events_total"
                '{type="chancery.session.refresh_reused.v1"}[15m])) or vector(0)'
            },
        ),
        Panel(
            title="Tokens of unknown keys",
            unit="reqps",
            queries={"{{instance}}": "rate(chancery_tokens_of_unknown_keys_total[$__rate_interval])"},
        ),
        Panel(
            title="Conclusions of the risk worker",
            unit="ops",
            queries={
                "{{command}} {{reason}} {{outcome}}": _rate(
                    "chancery_risk_conclusions_total", "command, reason, outcome"
                )
                + " or vector(0)"
            },
        ),
        Panel(
            title="Records that the risk worker cannot count",
            queries={
                "{{flaw}}": "sum by (flaw) (increase(chancery_risk_passed_over_total[15m])) or vector(0)"
            },
        ),
        Panel(
            title="Refused decisions",
            unit="ops",
            queries={
                "{{category}}": _rate('chancery_decision_seconds_count{outcome="refused"}', "category")
                + " or vector(0)"
            },
        ),
    ),
}


def dashboard(name: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """As Grafana 11 and later read it (schema version 39)."""
    return {
        "uid": f"chancery-{name}",
        "title": f"Chancery: {name.replace('-', ' ')}",
        "tags": ["chancery"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    width = _WIDTH // _EACH_ROW
    row, column = divmod(number, _EACH_ROW)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": width, "x": column * width, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for place, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, panels in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(dashboard(name, panels), indent=1) + "\n")


if __name__ == "__main__":
    main()
