"""One call of a client: who, from where, under which Idempotency-Key, with which body."""

import re
from dataclasses import dataclass, field

from fastapi import Request

from eventstore.commit import Actor
from runtime.serving.answers import AnswerError, failure

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_USER_AGENT = 256
ANONYMOUS = Actor(kind="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`key` is the Idempotency-Key. The body is kept only to tell repetitions from other requests."""

    method: str
    path: str
    key: str | None
    body: bytes = field(repr=False)
    trace: str
    ip: str | None
    user_agent: str | None
    actor: Actor = ANONYMOUS


async def read_call(request: Request) -> Call:
    """FastAPI dependency. A malformed Idempotency-Key is a 400, because it would protect nothing."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1 or (keys and _IDEMPOTENCY_KEY.fullmatch(keys[0]) is None):
        title = "Idempotency-Key must be one value of 1 to 255 visible ASCII characters."
        raise AnswerError(failure(request.url.path, 400, "bad-idempotency-key", title))
    return Call(
        method=request.method,
        path=request.url.path,
        key=keys[0] if keys else None,
        body=await request.body() + b"?" + request.url.query.encode(),
        trace=request.scope["state"]["traceparent"],
        ip=request.client.host if request.client else None,
        user_agent=_printable(request.headers.get("user-agent")),
    )


def _printable(text: str | None) -> str | None:
    """A header as it may be shown to people: short, and without control characters."""
    return "".join(c for c in text if c.isprintable())[:_MAX_USER_AGENT] if text else None
