"""Spans (OpenTelemetry), and the W3C trace context that leads from one to the next, also through the log.

A process that is not told where spans go leaves none, and does not even load what could send them; trace ids are made
and handed on all the same. It is told by OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` …

Law: a span names routes, types and positions, never a person, a path as it was asked for, or what an error says.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, Protocol

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int]
NO_ATTRIBUTES: Attributes = {}

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1


class Span:
    """A piece of work. `traceparent` is what goes with whatever it brings about."""

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]

    def rename(self, name: str) -> None:
        """By what turned out only when it was done."""

    def describe(self, attributes: Attributes) -> None:
        """By what turned out only when it was done."""

    def fails(self, reason: str) -> None:
        """`reason` is one of few words that are ours, never a message."""


class RecordedSpan(Span):
    def end(self) -> None:
        """Now."""


class Recording(Protocol):
    def begin(
        self, name: str, kind: Kind, parent: str, attributes: Attributes, at: int | None
    ) -> RecordedSpan:
        """`at` is when it began (`time.time_ns()`), None for now. `parent` may be anything; what is valid counts."""
        ...

    def close(self) -> None:
        """Send what still waits, if that can be done soon."""
        ...


_recording: Recording | None = None


@contextlib.contextmanager
def recorded(process: str) -> Iterator[None]:
    """While the block lasts, this process leaves spans, if it is told where to."""
    global _recording  # noqa: PLW0603  # one for each process, like its logs
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if any(os.environ.get(name) for name in _ENDPOINTS) and not is_disabled:
        from runtime.otlp import OpenTelemetry  # noqa: PLC0415  # costs a process without spans nothing

        _recording = OpenTelemetry(process)
    try:
        yield
    finally:
        recording, _recording = _recording, None
        if recording is not None:
            recording.close()


def is_recording() -> bool:
    return _recording is not None


@contextlib.contextmanager
def span(name: str, kind: Kind, parent: str, attributes: Attributes = NO_ATTRIBUTES) -> Iterator[Span]:
    """Work that belongs to the trace of a `traceparent`; without spans, that is what it hands on."""
    if _recording is None:
        yield Span(parent)
        return
    with _ended(_recording.begin(name, kind, parent, attributes, None)) as begun:
        yield begun


@contextlib.contextmanager
def server_span(name: str, received: Iterable[str]) -> Iterator[Span]:
    """The work for one request, which may have come with a `traceparent` of its own."""
    if _recording is None:
        yield Span(new_traceparent(received))
        return
    with _ended(_recording.begin(name, "server", first_valid(received), NO_ATTRIBUTES, None)) as begun:
        yield begun


def leave_span(
    name: str, kind: Kind, parent: str, began: int, attributes: Attributes = NO_ATTRIBUTES
) -> None:
    """Of work that ends now and began at that time (`time.time_ns()`), unless nobody keeps the trace that it is part of."""
    if _recording is not None and (not parent or _is_sampled(parent)):
        _recording.begin(name, kind, parent, attributes, began).end()


@contextlib.contextmanager
def _ended(begun: RecordedSpan) -> Iterator[RecordedSpan]:
    try:
        yield begun
    except BaseException as error:
        begun.fails(type(error).__name__)
        raise
    finally:
        begun.end()


def new_traceparent(received: Iterable[str]) -> str:
    """The caller's trace with a new span, or a new trace."""
    for text in received:
        found = parse_traceparent(text)
        if found is not None:
            return f"00-{found.trace:032x}-{secrets.token_hex(8)}-{found.flags:02x}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def first_valid(received: Iterable[str]) -> str:
    """The `traceparent` that counts; empty if there is none."""
    return next((text for text in received if parse_traceparent(text)), "")


class TraceContext(NamedTuple):
    trace: int
    span: int
    flags: int


def parse_traceparent(text: str) -> TraceContext | None:
    """None for what is no `traceparent` of version 00 (W3C Trace Context, section 3.2)."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    found = TraceContext(*(int(part, 16) for part in match.groups()))
    return found if found.trace and found.span else None


def _is_sampled(traceparent: str) -> bool:
    found = parse_traceparent(traceparent)
    return found is not None and bool(found.flags & _SAMPLED)
