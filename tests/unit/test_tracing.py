"""Trace contexts, and what a process without spans sends: nothing, for want of what could."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.tracing import (
    is_recording,
    leave_span,
    new_traceparent,
    parse_traceparent,
    recorded,
    server_span,
    span,
)

ROOT = Path(__file__).parent.parent.parent
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


def printed(code: str, told: dict[str, str]) -> str:
    """What a Python of its own prints, with these variables more."""
    command, environment = [sys.executable, "-c", code], {**os.environ, **told}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return done.stdout


def test_a_trace_context_is_read_as_it_is_written() -> None:
    assert parse_traceparent(GIVEN) == (int(TRACE, 16), int(SPAN, 16), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN.upper(),
        GIVEN + "-",
        GIVEN + "\n",
        " " + GIVEN,
        f"01-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
    ],
)
def test_what_is_none_begins_a_new_trace(text: str) -> None:
    assert parse_traceparent(text) is None
    begun = [parse_traceparent(new_traceparent([text])) for _ in range(2)]
    assert begun[0] is not None
    assert begun[1] is not None
    assert begun[0].trace != begun[1].trace


def test_the_first_valid_one_is_gone_on_with() -> None:
    found = parse_traceparent(new_traceparent(["nonsense", GIVEN]))
    assert found is not None
    assert (found.trace, found.flags) == (int(TRACE, 16), 1)
    assert found.span != int(SPAN, 16)


def test_without_spans_the_trace_goes_on_all_the_same() -> None:
    assert not is_recording()
    with server_span("POST", [GIVEN]) as request, span("decide", "producer", request.traceparent) as decision:
        decision.describe({"chancery.position": "0:1"})
        decision.fails("nothing")
        decision.rename("something")
        assert decision.traceparent == request.traceparent
        assert request.trace_id == TRACE
    leave_span("project", "consumer", GIVEN, 0)


def test_nothing_is_recorded_where_nobody_says_where_to() -> None:
    with recorded("test"):
        assert not is_recording()


@pytest.mark.parametrize(
    ("told", "is_loaded"),
    [
        ({}, "False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "True"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, "True"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, "False"),
    ],
)
def test_what_sends_is_loaded_only_by_a_process_that_is_told_where_spans_go(
    told: dict[str, str], is_loaded: str
) -> None:
    code = """
import sys, query_api.app, command_api.app, projectors.app
from runtime.tracing import recorded
with recorded("test"):
    print("runtime.otlp" in sys.modules, "opentelemetry.exporter" in sys.modules)
"""
    assert printed(code, told).split() == [is_loaded] * 2


def test_the_web_framework_leaves_no_spans_of_its_own_whoever_wants_some() -> None:
    """They would quote paths and inputs. `opentelemetry-instrument` sets a provider as is done here."""
    code = """
import asyncio, httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from runtime.serving.app import Vitals, new_app
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
app = new_app("test", Vitals(process="test", failing=dict, registry=CollectorRegistry()))
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as http:
        return [(await http.get(path)).status_code for path in ("/health/live", "/somebody@example.com")]
print(asyncio.run(ask()), len(exporter.get_finished_spans()))
"""
    assert printed(code, {}).splitlines()[-1] == "[200, 404] 0"


def test_a_subscriber_makes_spans_only_where_its_service_says_where_they_go() -> None:
    code = """
import sys
sys.path.insert(0, "sdk")
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from chancery_sdk.events import parse_event
from chancery_sdk.testing import MemoryFeed
from chancery_sdk.traces import handling
event = parse_event(MemoryFeed().tell("chancery.account.verified.v1", {"account_id": "a"}))
told = [type(handling(event)).__name__]
trace.set_tracer_provider(TracerProvider())
with handling(event):
    told.append(trace.get_current_span().is_recording())
print(*told)
"""
    assert printed(code, {}).splitlines()[-1] == "nullcontext True"


def test_spans_are_of_the_first_valid_parent_and_an_operator_may_name_the_service() -> None:
    code = """
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from runtime import otlp, tracing
exporter = InMemorySpanExporter()
with tracing.recorded("query"):
    tracing._recording._provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.leave_span("short", "server", tracing.first_valid(["rubbish", tracing.new_traceparent([])]), 1)
    tracing.leave_span("root", "server", tracing.first_valid(["rubbish"]), 1)
    tracing.leave_span("not kept", "server", "00-" + "1" * 32 + "-" + "1" * 16 + "-00", 1)
for span in exporter.get_finished_spans():
    print(span.name, span.parent is not None, span.resource.attributes["service.name"])
"""
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "mine"}
    assert printed(code, told).split("\n")[:-1] == ["short True mine", "root False mine"]
