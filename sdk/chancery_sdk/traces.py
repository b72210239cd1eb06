"""Handlers as part of the trace that an event came from, in services that use OpenTelemetry (`chancery-sdk[traces]`).

The service itself says where its spans go; without that, or without OpenTelemetry, nothing happens here.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

from chancery_sdk.events import Event

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    _is_installed = False
else:
    _is_installed = True


def handling(event: Event) -> AbstractContextManager[None]:
    """A span that goes nowhere would cost as much as reading the event does, so there is none then."""
    return _span(event) if _goes_somewhere() else contextlib.nullcontext()


def _goes_somewhere() -> bool:
    return _is_installed and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextlib.contextmanager
def _span(event: Event) -> Iterator[None]:
    """It is current meanwhile. What an error says stays out of it, because that may name a person."""
    with trace.get_tracer("chancery_sdk").start_as_current_span(
        f"process {event.type}",
        TraceContextTextMapPropagator().extract({"traceparent": event.trace}),
        trace.SpanKind.CONSUMER,
        {"chancery.position": f"{event.partition}:{event.place.seq}"},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__)
            raise
