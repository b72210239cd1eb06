"""One call of a client: who, from where, under which Idempotency-Key, with which body, until when."""

import asyncio
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from eventstore.commit import Actor
from eventstore.errors import OutcomeUnknownError, TryAgainError
from runtime.serving.answers import AnswerError, failure
from runtime.serving.forwarded import HANDED_ON
from runtime.serving.stamps import SignedRequest

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_USER_AGENT = 256
_HANDED_ON = {name.encode(): name for name in HANDED_ON}
ANONYMOUS = Actor(kind="anonymous")


@dataclass(slots=True)
class Doubt:
    """Whether another process may have decided the call as well. All forms that one call takes share it."""

    exists: bool = False

    def weighed(self, error: TryAgainError) -> TryAgainError:
        """What may be said: that nothing was changed only if that is certain of everybody who had the call."""
        if self.exists and not isinstance(error, OutcomeUnknownError):
            return OutcomeUnknownError(f"another process had the call and did not answer; here: {error}")
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`key` is the Idempotency-Key. Body, query and headers are kept to tell repetitions, and to hand the call on.

    `within` is the session whose own answers are repeated under the key, and no other's; empty for all of the actor's.
    `deadline` is in the event loop's time. `stays` says that it was settled which process decides, and it is ours.
    """

    method: str
    path: str
    key: str | None
    body: bytes = field(repr=False)
    trace: str
    ip: str | None
    user_agent: str | None
    actor: Actor = ANONYMOUS
    within: str = ""
    raw_path: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    deadline: float = math.inf
    stays: bool = False
    doubt: Doubt = field(default_factory=Doubt, repr=False, compare=False)


async def read_call(request: Request) -> Call:
    """FastAPI dependency. A malformed Idempotency-Key is a 400, because it would protect nothing."""
    handed_on = _handed_on(request)
    key = handed_on.get("idempotency-key")
    if key is not None and _IDEMPOTENCY_KEY.fullmatch(key) is None:
        title = "Idempotency-Key must be one value of 1 to 255 visible ASCII characters."
        raise AnswerError(failure(request.url.path, 400, "bad-idempotency-key", title))
    forwarded: SignedRequest | None = request.scope["state"].get("forwarded")
    seconds: float = request.app.state.deadline_seconds
    if forwarded is not None:
        seconds = min(seconds, forwarded.seconds)
    trace = request.scope["state"]["traceparent"]
    doubt = request.scope["state"]["doubt"] = Doubt()
    return Call(
        method=request.method,
        path=request.url.path,
        key=key,
        body=await request.body(),
        trace=trace,
        ip=request.client.host if request.client else None,
        user_agent=_printable(handed_on.get("user-agent")),
        raw_path=request.scope["raw_path"].decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers={**handed_on, "traceparent": trace},
        deadline=asyncio.get_running_loop().time() + seconds,
        stays=forwarded is not None,
        doubt=doubt,
    )


def signed_request(call: Call) -> SignedRequest:
    """The call as another process reads it: what a stamp covers, and what is handed on."""
    return SignedRequest(
        method=call.method,
        target=call.raw_path + (f"?{call.query}" if call.query else ""),
        headers=call.headers,
        body=call.body,
        client=call.ip or "",
        seconds=0,
    )


def weighed(request: Request, error: TryAgainError) -> TryAgainError:
    """The error as it may be told to the caller of this request."""
    doubt: Doubt | None = request.scope["state"].get("doubt")
    return error if doubt is None else doubt.weighed(error)


def _handed_on(request: Request) -> dict[str, str]:
    """The headers that count, in one pass. What came twice is joined by commas, which no key or credential has."""
    found: dict[str, str] = {}
    for raw, value in request.scope["headers"]:
        name = _HANDED_ON.get(raw)
        if name is not None:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _printable(text: str | None) -> str | None:
    """A header as it may be shown to people: short, and without control characters."""
    if not text or text.isprintable():
        return text[:_MAX_USER_AGENT] if text else None
    return "".join(c for c in text if c.isprintable())[:_MAX_USER_AGENT]
