"""Facts about requests that carried an Idempotency-Key: which body came first, and what was answered."""

from datetime import datetime

from events.fact import Event, fact, personal


@fact("request.received")
class RequestReceived(Event):
    """`fingerprint` is a keyed hash of the body, so that the log says nothing about a password in it."""

    fingerprint: str
    received_at: datetime


@fact("request.answered")
class RequestAnswered(Event):
    """`answer` is the whole HTTP answer as JSON, sealed under a data key that lives for a day."""

    answered_at: datetime
    answer: str | None = personal(default=None)
