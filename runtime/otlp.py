"""Spans sent by OpenTelemetry's SDK, as OTLP over HTTP. Loaded only by processes that leave spans (`runtime/tracing.py`)."""

import os
import threading

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from runtime.tracing import Attributes, Kind, RecordedSpan, parse_traceparent

_FLUSH_SECONDS = 2.0


class OpenTelemetry:
    """Spans wait in a bounded queue for a thread that sends them; what finds it full is lost, and nothing waits."""

    def __init__(self, process: str) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or f"chancery-{process}"
        resource = Resource.create({"service.name": name, "service.namespace": "chancery"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("chancery")

    def begin(
        self, name: str, kind: Kind, parent: str, attributes: Attributes, at: int | None
    ) -> RecordedSpan:
        return _Sent(
            self._tracer.start_span(
                name,
                _context_of(parent),
                SpanKind[kind.upper()],
                dict(attributes),
                start_time=at,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def close(self) -> None:
        """Whoever takes spans may be gone, and the SDK tries again for long."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)


class _Sent(RecordedSpan):
    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        super().__init__(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def describe(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def fails(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attribute("error.type", reason)

    def end(self) -> None:
        self._span.end()


def _context_of(parent: str) -> Context:
    found = parse_traceparent(parent)
    if found is None:
        return Context()
    before = SpanContext(found.trace, found.span, is_remote=True, trace_flags=TraceFlags(found.flags))
    return set_span_in_context(NonRecordingSpan(before), Context())
