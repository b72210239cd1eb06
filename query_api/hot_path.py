"""The short way of the three questions that are asked most: introspection, batches, forward-auth.

It answers what memory alone can tell: who asks was known a moment ago, the token is well-formed, and the revocation
feed is fresh. Everything else, and every error, goes the long way through FastAPI to the routes of the same paths, so
that there is one place for each of them. `tests/e2e/test_token_checks.py` compares the two ways.

Law: it never says more than the long way would. Only successes are answered here, and they leave a measurement but no
line in the log.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.callers import INTROSPECT_SCOPE, Callers
from query_api.checked_tokens import CheckedToken
from query_api.routes import forward_auth, introspection, validation
from query_api.tokens import TokenChecks
from runtime.serving.answers import json_answer, rendered_json_answer
from runtime.serving.body import MAX_BODY_BYTES
from runtime.serving.observe import answer_attributes
from runtime.serving.ready import ReadyAnswer
from runtime.serving.short_way import Headers
from runtime.tracing import first_valid, is_recording, leave_span

_Way = Callable[[Headers, bytes], ReadyAnswer | None]
_FORM = re.compile(rb"token=([A-Za-z0-9._-]{1,8192})(?:&token_type_hint=(?:access|refresh)_token)?")
_BEARER = re.compile(rb"(?i:bearer) ([A-Za-z0-9._-]{1,8192})")
_INACTIVE = ReadyAnswer.of(json_answer(200, {"active": False}))


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[str]


_decode_batch = msgspec.json.Decoder(_Batch).decode


class HotPath:
    """Answers before the application: as the server's short way, and as ASGI in front for what came in pieces."""

    asked = frozenset(
        {
            (b"GET", forward_auth.PATH.encode()),
            (b"POST", introspection.PATH.encode()),
            (b"POST", validation.PATH.encode()),
        }
    )

    def __init__(self, app: ASGIApp, callers: Callers, tokens: TokenChecks, seconds: Histogram) -> None:
        self._app = app
        self._callers = callers
        self._tokens = tokens
        ways = (
            ("GET", forward_auth.PATH, self._forward),
            ("POST", introspection.PATH, self._introspect),
            ("POST", validation.PATH, self._validate),
        )
        self._ways: Mapping[bytes, tuple[_Way, Histogram]] = {
            path.encode(): (way, seconds.labels(method, path, "200")) for method, path, way in ways
        }
        self._names = {path.encode(): (method, path) for method, path, _ in ways}
        self._leaves_spans = is_recording()

    def answer(self, target: bytes, headers: Headers, body: bytes) -> ReadyAnswer | None:
        began = time.perf_counter()
        way, measured = self._ways[target]
        answer = way(headers, body)
        if answer is not None:
            seconds = time.perf_counter() - began
            measured.observe(seconds)
            if self._leaves_spans:
                self._leave_span(target, headers, seconds)
        return answer

    def _leave_span(self, target: bytes, headers: Headers, seconds: float) -> None:
        method, path = self._names[target]
        parent = first_valid(value.decode("latin-1") for name, value in headers if name == b"traceparent")
        began = time.time_ns() - int(seconds * 1e9)
        leave_span(f"{method} {path}", "server", parent, began, answer_attributes(method, path, 200))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target: bytes = scope.get("raw_path", b"")
        if scope["type"] == "http" and (scope["method"].encode(), target) in self.asked:
            headers = scope["headers"]
            pending, body = await self._body(target, headers, receive)
            answer = None if body is None else self.answer(target, headers, body)
            if answer is not None:
                await answer.send(send)
                return
            receive = _replayed(pending, receive)
        await self._app(scope, receive, send)

    async def _body(
        self, target: bytes, headers: Headers, receive: Receive
    ) -> tuple[Sequence[Message], bytes | None]:
        """Waited for if the question has one, and its caller is known to be one who may ask."""
        if target == forward_auth.PATH.encode():
            return (), b""
        if target == introspection.PATH.encode():
            return await _arrived(receive, MAX_BODY_BYTES) if self._may_ask(headers) else ((), None)
        return await _arrived(receive, validation.MOST_BYTES) if self._may_validate(headers) else ((), None)

    def _may_ask(self, headers: Headers) -> bool:
        authorization = _only(headers, b"application/x-www-form-urlencoded")
        client = None if authorization is None else self._callers.known_client(authorization)
        return client is not None and INTROSPECT_SCOPE in client.scopes

    def _may_validate(self, headers: Headers) -> bool:
        checked = self._bearer(_only(headers, b"application/json"))
        return checked is not None and self._callers.may_introspect(checked.claims)

    def _introspect(self, headers: Headers, body: bytes) -> ReadyAnswer | None:
        if not self._may_ask(headers):
            return None
        match = _FORM.fullmatch(body)
        found = "unsure" if match is None else self._tokens.look(match[1].decode())
        if isinstance(found, CheckedToken):
            return found.answer
        return _INACTIVE if found == "inactive" else None

    def _forward(self, headers: Headers, _: bytes) -> ReadyAnswer | None:
        checked = self._bearer(_authorization(headers))
        return None if checked is None else checked.let_in

    def _validate(self, headers: Headers, body: bytes) -> ReadyAnswer | None:
        """None for what is not plain enough to have only one reading."""
        if not self._may_validate(headers):
            return None
        if b"\\" in body or body.count(b'"tokens"') != 1:
            return None
        try:
            tokens: Sequence[str] = _decode_batch(body).tokens
        except msgspec.MsgspecError:
            return None
        if len(tokens) > validation.MOST_TOKENS:
            return None
        results, shown = [], self._tokens.position()
        for token in tokens:
            found = self._tokens.look(token)
            if isinstance(found, CheckedToken):
                results.append(found.answer.body)
            elif found == "inactive":
                results.append(_INACTIVE.body)
            else:
                return None
        content = b'{"results":[' + b",".join(results) + b"]}"
        return ReadyAnswer.of(rendered_json_answer(200, content, shown))

    def _bearer(self, authorization: bytes | None) -> CheckedToken | None:
        match = None if authorization is None else _BEARER.fullmatch(authorization)
        found = "unsure" if match is None else self._tokens.look(match[1].decode())
        return found if isinstance(found, CheckedToken) else None


def _authorization(headers: Headers) -> bytes | None:
    """The one Authorization header."""
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
    return found


def _only(headers: Headers, media_type: bytes) -> bytes | None:
    """The one Authorization header of a request with a body of this type that waits for no position."""
    authorization = content_type = None
    for name, value in headers:
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value
        elif name == b"content-type":
            if content_type is not None:
                return None
            content_type = value
        elif name == b"chancery-min-position":
            return None
    return authorization if content_type == media_type else None


async def _arrived(receive: Receive, most: int) -> tuple[Sequence[Message], bytes | None]:
    """The body, None if it is too large or its client went away; and how to receive it again.

    It has no deadline of its own: the server ends a request whose body does not arrive.
    """
    message = await receive()
    pending, size = [message], len(message.get("body", b""))
    while message.get("more_body", False) and size <= most:
        message = await receive()
        pending.append(message)
        size += len(message.get("body", b""))
    is_whole = message["type"] == "http.request" and not message.get("more_body", False)
    is_whole = is_whole and size <= most
    return pending, b"".join([part["body"] for part in pending]) if is_whole else None


def _replayed(pending: Sequence[Message], receive: Receive) -> Receive:
    came = iter(pending)

    async def again() -> Message:
        for message in came:
            return message
        return await receive()

    return again
