"""One trace through everything, taken by a collector; and nothing of a person or a secret in all that is told."""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.postgres import PostgresCheckpoints
from chancery_sdk.subscriber import Subscriber
from tests.e2e.conftest import command_process
from tests.e2e.telemetry.conftest import shown_metrics
from tests.support.chancery import PASSWORD, Chancery, new_email
from tests.support.otlp import Collector, TakenSpan
from tests.support.rpc import asking
from tests.support.tasks import eventually

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
"""As OTLP numbers the kinds of spans."""
REGISTERED = "chancery.account.registered.v1"
NAME, AGENT, ADDRESS = "Very Recognisable Name", "recognisable-agent/1.0", "203.0.113.77"


@asynccontextmanager
async def subscribed(chancery: Chancery, collector: Collector) -> AsyncIterator[list[str]]:
    """A service that follows the feed and uses OpenTelemetry like any other; the types that it handled."""
    provider = TracerProvider(resource=Resource.create({"service.name": "welcome"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(collector.url + "/v1/traces")))
    trace.set_tracer_provider(provider)
    handled: list[str] = []
    dsn = chancery.settings["CHANCERY_POSTGRES_DSN"]
    async with (
        open_feed(chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"]) as feed,
        asyncpg.create_pool(dsn, max_size=12) as pool,
    ):
        checkpoints = PostgresCheckpoints(pool, "welcome")
        await checkpoints.create_tables()
        subscriber: Subscriber[Any] = Subscriber(feed, checkpoints, start="latest")

        @subscriber.on(REGISTERED)
        async def welcome(event: Event, _: object) -> None:
            handled.append(event.type)

        running = asyncio.create_task(subscriber.run())
        yield handled
        subscriber.stop()
        await running
    provider.shutdown()


def new_trace() -> tuple[str, str, Mapping[str, str]]:
    """The trace's id, the caller's own span, and the header that tells of both."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


async def taken(collector: Collector, trace_id: str, wanted: set[str]) -> dict[str, TakenSpan]:
    """The spans of a trace by their names, once all of these are there."""

    async def is_complete() -> bool:
        return wanted <= {span.name for span in collector.of(trace_id)}

    try:
        await eventually(is_complete, within_seconds=20)
    except TimeoutError:
        pytest.fail(f"of {sorted(wanted)} came {sorted(span.name for span in collector.of(trace_id))}")
    return {span.name: span for span in collector.of(trace_id)}


async def test_one_request_is_followed_through_the_log_to_everything_that_it_brings_about(
    watched: Chancery, collector: Collector
) -> None:
    trace_id, caller, headers = new_trace()
    async with subscribed(watched, collector) as handled:
        body = {"email": new_email(), "password": PASSWORD}
        answer = await watched.command("POST", "/v1/accounts", json=body, headers=headers)
        assert answer.status_code == 202

        async def is_handled() -> bool:
            return bool(handled)

        await eventually(is_handled, within_seconds=20)
    decided = "decide identifier"
    consequences = {
        "project tables": ("chancery-projectors", CONSUMER),
        "mail verification": ("chancery-mailer", CLIENT),
        "publish relay": ("chancery-relay", CONSUMER),
        f"process {REGISTERED}": ("welcome", CONSUMER),
    }
    spans = await taken(collector, trace_id, {"POST /v1/accounts", decided, *consequences})
    request = spans["POST /v1/accounts"]
    assert (request.service, request.kind, request.parent) == ("chancery-command", SERVER, caller)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/accounts",
        "http.response.status_code": "202",
    }
    assert (spans[decided].service, spans[decided].kind, spans[decided].parent) == (
        "chancery-command",
        PRODUCER,
        request.id,
    )
    assert spans[decided].attributes == {
        "chancery.position": spans["publish relay"].attributes["chancery.position"]
    }
    for name, (service, kind) in consequences.items():
        assert (spans[name].service, spans[name].kind, spans[name].parent) == (
            service,
            kind,
            spans[decided].id,
        )
    assert not [span for span in spans.values() if span.is_error]


async def test_a_token_check_is_a_span_on_every_way(watched: Chancery, collector: Collector) -> None:
    trace_id, caller, headers = new_trace()
    person = await watched.new_person()
    token = person.tokens["access_token"]
    for _ in range(2):  # the second one is answered on the short way
        await watched.introspect(token, **headers)
    async with asking(watched) as caller_of_rpc:
        await caller_of_rpc.validate(token, *headers.items())
    wanted = {"POST /oauth/introspect", "/chancery.v1.TokenService/Validate"}
    spans = await taken(collector, trace_id, wanted)
    assert len([span for span in collector.of(trace_id) if span.name == "POST /oauth/introspect"]) == 2
    for name in wanted:
        assert (spans[name].service, spans[name].kind, spans[name].parent) == (
            "chancery-query",
            SERVER,
            caller,
        )


async def test_a_trace_that_its_caller_does_not_keep_leaves_no_span(
    watched: Chancery, collector: Collector
) -> None:
    trace_id, caller, _ = new_trace()
    not_kept = {"traceparent": f"00-{trace_id}-{caller}-00"}
    body = {"email": new_email(), "password": PASSWORD}
    await watched.command("POST", "/v1/accounts", json=body, headers=not_kept)
    await watched.mails_to(body["email"])
    later, _, headers = new_trace()
    await watched.command("POST", "/v1/accounts", json={**body, "email": new_email()}, headers=headers)
    await taken(collector, later, {"project tables", "publish relay", "mail verification"})
    assert collector.of(trace_id) == []


async def test_a_refusal_is_no_error_and_a_refused_caller_is_none_either(
    watched: Chancery, collector: Collector
) -> None:
    trace_id, _, headers = new_trace()
    person = await watched.new_person()
    answer = await watched.sign_in(person.email, "a password that is wrong", headers=headers)
    assert answer.status_code == 401
    spans = await taken(collector, trace_id, {"POST /v1/sessions"})
    assert spans["POST /v1/sessions"].attributes["http.response.status_code"] == "401"
    assert not spans["POST /v1/sessions"].is_error


async def test_a_process_whose_collector_is_gone_serves_and_ends_in_time(watched: Chancery) -> None:
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with command_process(watched, more, "query") as (side, process):
        person = await watched.new_person()
        assert (await side.introspect(person.tokens["access_token"]))["active"]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert time.monotonic() - began < 8


async def test_nothing_of_a_person_and_no_secret_is_told(watched: Chancery, collector: Collector) -> None:
    """Not in lines of any level, measurements, spans, or answers that are errors."""
    lived = await recognisable_life(watched)
    trace_id, _, headers = new_trace()
    await watched.introspect(lived.token, **headers)
    await taken(collector, trace_id, {"POST /oauth/introspect"})
    told = {
        **{log.name: log.read_bytes() for log in (watched.home / "log").glob("*.log")},
        **{f"answer {number}": answer.content for number, answer in enumerate(lived.refused)},
        **await shown_metrics(watched),
        "what the collector has": b"".join(collector.raw),
    }
    assert {"command.log", "metrics of relay"} <= set(told)
    for where, text in told.items():
        assert not [secret for secret in lived.secrets if secret.encode() in text], where


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    secrets: Sequence[str]
    """What nobody may be told: what is personal, and what opens something."""
    refused: Sequence[httpx.Response]
    token: str


async def recognisable_life(chancery: Chancery) -> Lived:
    """Sign up, in, fail in many ways, refresh, forget the password and set another."""
    told_by = {"x-forwarded-for": ADDRESS, "user-agent": AGENT}
    email, wrong, changed = (
        new_email(),
        "a wrong sentence nobody guesses",
        "a changed sentence nobody guesses",
    )
    await chancery.sign_up(email, display_name=NAME)
    code = await chancery.code_for(email)
    await chancery.verify(email, code)
    signed_in = (await chancery.sign_in(email, headers=told_by)).json()
    bearer = {"authorization": f"Bearer {signed_in['access_token']}"}
    refused = [
        await chancery.sign_in(email, wrong, headers=told_by),
        await chancery.verify(email, "000000"),
        await chancery.command(
            "POST", "/v1/accounts", json={"email": email, "password": 7, "display_name": NAME}
        ),
        await chancery.query("GET", f"/v1/{email}", headers=bearer),
        await chancery.refresh(signed_in["refresh_token"] + "x"),
    ]
    assert all(answer.status_code >= 400 for answer in refused)
    renewed = (await chancery.refresh(signed_in["refresh_token"])).json()
    await chancery.query("GET", "/v1/me", headers=bearer)
    await chancery.command("POST", "/v1/password-resets", json={"email": email})
    reset = await chancery.code_for(email, 2)
    body = {"email": email, "code": reset, "new_password": changed}
    await chancery.command("POST", "/v1/password-resets/confirm", json=body)
    return Lived(
        secrets=(
            *(email, NAME, AGENT, ADDRESS, PASSWORD, wrong, changed, code, reset),
            *(tokens[name] for tokens in (signed_in, renewed) for name in ("access_token", "refresh_token")),
            chancery.client["client_secret"],
            *(chancery.settings[f"CHANCERY_{name}"] for name in ("SECRET_KEY", "KEY_ENCRYPTION_KEY")),
        ),
        refused=refused,
        token=signed_in["access_token"],
    )
