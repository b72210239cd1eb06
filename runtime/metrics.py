"""Every metric that a process shows, in one list: `python -m runtime.metrics` prints it as docs/reference/metrics.md.

There is no other way to make one, so none is undocumented. Names and units are as Prometheus advises; a counter is shown with
`_total`. Labels have few values, and none of them names a person.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of every histogram's buckets."""
_STORE = "`postgres`, `valkey`, `valkey_push` (what is pushed to clients)"
_CONSUMER = "who reads the log: `tables`, `valkey_v1`, `mailer`, `relay`, or `risk:` and a topic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`labels`: which values each may have. `shown_by`: the processes, as `chancery serve` names them, or `all`."""

    kind: ClassVar[str]
    name: str
    meaning: str
    shown_by: str
    labels: Mapping[str, str] = field(default_factory=dict)


class CounterMetric(Metric):
    kind = "counter"

    def made(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.meaning, tuple(self.labels), registry=registry)


class ReadCounterMetric(Metric):
    """Of what is counted in a place that knows no metrics."""

    kind = "counter"

    def show(self, registry: CollectorRegistry, read: Callable[[], float]) -> None:
        registry.register(_Reading(self, read))


class _Reading(Collector):
    def __init__(self, metric: Metric, read: Callable[[], float]) -> None:
        self._metric = metric
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._metric.name, self._metric.meaning, value=self._read())


class GaugeMetric(Metric):
    kind = "gauge"

    def made(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.meaning, tuple(self.labels), registry=registry)


class HistogramMetric(Metric):
    kind = "histogram"

    def made(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.meaning, tuple(self.labels), registry=registry, buckets=SECONDS)


BUILD_INFO = GaugeMetric(
    name="chancery_build_info",
    meaning="Always 1",
    shown_by="all",
    labels={"version": "of Chancery", "process": "as `chancery serve` names it"},
)
TASKS = GaugeMetric(name="chancery_tasks", meaning="Tasks that have not ended", shown_by="all")
PART_FAILING = GaugeMetric(
    name="chancery_part_failing",
    meaning="1 while `/health/ready` names this part; absent otherwise",
    shown_by="all",
    labels={
        "part": "`kafka`, `postgres`, `smtp`, `log`, `keys`, `revocations`, or a consumer and its partition"
    },
)
HTTP_REQUEST_SECONDS = HistogramMetric(
    name="chancery_http_request_seconds",
    meaning="Time from the request's arrival to the end of its answer",
    shown_by="all",
    labels={
        "method": "of HTTP; what is none of the usual ones is `other`",
        "route": "its template, e.g. `/v1/sessions/{session_id}`; `unknown` if there is none",
        "status": "of HTTP; `499` where the client was gone before it was answered",
    },
)
REQUESTS_SHED = CounterMetric(
    name="chancery_requests_shed",
    meaning="Requests that came while too many were in work",
    shown_by="query",
)
REQUESTS_IN_WORK = GaugeMetric(
    name="chancery_requests_in_work", meaning="Requests whose answer has not begun", shown_by="query"
)
GRPC_CALL_SECONDS = HistogramMetric(
    name="chancery_grpc_call_seconds",
    meaning="Time from a call's arrival to its end",
    shown_by="query",
    labels={"method": "service and method; `unknown` if there is none", "status": "of gRPC, e.g. `OK`"},
)
CIRCUIT_OPEN = GaugeMetric(
    name="chancery_circuit_open",
    meaning="1 while this store is not asked, because it did not answer",
    shown_by="command, query, projectors, mailer, relay",
    labels={"store": _STORE},
)
RATE_LIMITED = CounterMetric(
    name="chancery_rate_limited",
    meaning="Calls that a rate limit refused",
    shown_by="command",
    labels={"limit": "its name, as in [limits](limits.md)"},
)
RATE_LIMITS_ALONE = GaugeMetric(
    name="chancery_rate_limits_alone",
    meaning="1 while this process counts by itself, because Valkey does not answer",
    shown_by="command",
)
DECISION_SECONDS = HistogramMetric(
    name="chancery_decision_seconds",
    meaning="Time from a command's arrival at the log's writer until its commit was acknowledged, or it was refused",
    shown_by="command",
    labels={
        "category": "of the stream that decides, e.g. `account`, `client`, `identifier`",
        "outcome": "`decided`, `refused` (by a rule), `failed` (without an answer)",
    },
)
COMMANDS_OPEN = GaugeMetric(
    name="chancery_commands_open", meaning="Commands that wait for their commit", shown_by="command"
)
VOID_RECORDS = ReadCounterMetric(
    name="chancery_void_records",
    meaning="Records of the log, as far as this process read it, that do not count, because another came first",
    shown_by="command",
)
PASSWORDS_IN_WORK = GaugeMetric(
    name="chancery_passwords_in_work",
    meaning="Passwords that are hashed or wait for it",
    shown_by="command",
)
REVOCATIONS_AGE_SECONDS = GaugeMetric(
    name="chancery_revocations_age_seconds",
    meaning="Age of what memory knows of revocations; infinite before it knows any",
    shown_by="query",
)
TOKENS_CACHED = GaugeMetric(
    name="chancery_tokens_cached",
    meaning="Access tokens kept of which the signature held",
    shown_by="query",
)
TOKENS_OF_UNKNOWN_KEYS = ReadCounterMetric(
    name="chancery_tokens_of_unknown_keys",
    meaning="Tokens that named a signing key which does not exist",
    shown_by="query",
)
PROJECTOR_EVENTS = CounterMetric(
    name="chancery_projector_events",
    meaning="Events applied to a read model",
    shown_by="projectors",
    labels={"projector": "the read model and its version, e.g. `sessions_v1`"},
)
PROJECTOR_LAG_RECORDS = GaugeMetric(
    name="chancery_projector_lag_records",
    meaning="Records of the log that are not applied yet",
    shown_by="projectors, relay, risk",
    labels={"consumer": _CONSUMER, "partition": "its number"},
)
PROJECTOR_LAG_SECONDS = GaugeMetric(
    name="chancery_projector_lag_seconds",
    meaning="Everything that the log held so long ago is applied; absent until it was once",
    shown_by="projectors",
    labels={"consumer": _CONSUMER, "partition": "its number"},
)
HALTED_PARTITIONS = GaugeMetric(
    name="chancery_projector_halted_partitions",
    meaning="Partitions that a consumer stopped at and needs a person for",
    shown_by="projectors, mailer, relay",
    labels={"consumer": _CONSUMER},
)
PARKED_STREAMS = GaugeMetric(
    name="chancery_projector_parked_streams",
    meaning="Streams that were set aside and wait for `chancery projections retry`",
    shown_by="projectors",
    labels={"projector": "the read model and its version"},
)
MAILS = CounterMetric(
    name="chancery_mails",
    meaning="Mails by what became of them",
    shown_by="mailer",
    labels={"outcome": "`sent`, `refused`, `deferred`, `limited`, `expired`, `erased`"},
)
RELAYED_EVENTS = CounterMetric(
    name="chancery_relayed_events",
    meaning="Events that the public topic was acknowledged to hold",
    shown_by="relay",
    labels={"type": "one of [the public events](public-events.md)"},
)
RISK_CONCLUSIONS = CounterMetric(
    name="chancery_risk_conclusions",
    meaning="Conclusions of the risk worker",
    shown_by="risk",
    labels={
        "command": "what the Command API was told to do",
        "reason": "why, as in [risk](risk.md)",
        "outcome": "`given` or `refused`",
    },
)
RISK_PASSED_OVER = CounterMetric(
    name="chancery_risk_passed_over",
    meaning="Records of a topic that the risk worker could not count, and passed over",
    shown_by="risk",
    labels={"topic": "the topic", "flaw": "what is wrong with them, as in [risk](risk.md)"},
)

_HEAD = """# Metrics

Every process answers `GET /metrics` with these, in Prometheus' text format, on [the port of its health](configuration.md).
`python -m runtime.metrics` prints this page from `runtime/metrics.py`, where every metric is declared.
A counter is shown with `_total` at its end. A histogram has `_bucket`, `_sum` and `_count`, and bounds from 1 ms to 10 s.
Beside them every process shows the standard `process_…` (CPU time, memory, open files) of Prometheus' client.

| metric | kind | of | meaning |
|---|---|---|---|
"""


def catalogue() -> Iterator[Metric]:
    """In the order of this page."""
    for value in globals().copy().values():
        if isinstance(value, Metric):
            yield value


def page() -> str:
    return _HEAD + "".join(_row(metric) for metric in catalogue())


def _row(metric: Metric) -> str:
    labels = "".join(f"<br>`{name}`: {values}" for name, values in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {metric.shown_by} | {metric.meaning}{labels} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
