"""Requests that one of our processes hands on to another: signed, with the time that is left for them.

The signature (HMAC-SHA-256) covers everything that is believed: method, target, the headers that are handed on,
the client's address, the deadline and the body. It proves that a process with the same secret sent it, and hides
nothing: that is the work of TLS, which both sides of the channel can be given.
"""

import hmac
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.encoding import base64url
from runtime.keys import keyed_digest
from runtime.serving.answers import HttpAnswer, problem
from runtime.serving.body import read_body, replay_body

HEADER = "chancery-forwarded"
HANDED_ON = ("authorization", "content-type", "idempotency-key", "traceparent", "user-agent")
"""The headers of a request that its answer may depend on."""
LONGEST_MS = 60_000
"""A request that is older is refused, and so is one from the future: clocks may differ by as much."""
_REFUSED = "chancery-not-taken"
_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=10)
_CONNECT_SECONDS = 0.25
_DROPPED = frozenset({"content-length", "connection", "date", "transfer-encoding", "keep-alive"})


class NotSentError(Exception):
    """The other process did not take the request: nothing of it can happen there."""


class NoAnswerError(Exception):
    """The request was sent, and what became of it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """A request on its way. `target` is path and query as they came; `seconds` is what is left for it."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    client: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for both directions: our certificate and key, and the authority that the other side must be from."""

    certificate: str
    key: str
    authority: str

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Sender:
    """Sends requests to other processes over a bounded pool."""

    def __init__(self, key: bytes, tls: Tls | None) -> None:
        self._key = key
        self._client = httpx.AsyncClient(
            verify=True if tls is None else tls.client_context(), limits=_CONNECTIONS, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, url: str, request: Forwarded) -> HttpAnswer:
        """The other process's answer. NotSentError or NoAnswerError if there is none in time."""
        stamp = _Stamp.of(request)
        headers = {**request.headers, HEADER: stamp.signed(self._key, request)}
        wanted = self._client.build_request(
            request.method,
            httpx.URL(url).copy_with(raw_path=request.target.encode("latin-1")),
            headers=headers,
            content=request.body,
            timeout=httpx.Timeout(request.seconds, connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS),
        )
        try:
            answer = await self._client.send(wanted)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSentError(type(error).__name__) from None
        except httpx.HTTPError as error:
            raise NoAnswerError(type(error).__name__) from None
        if _REFUSED in answer.headers:
            raise NotSentError("refused")
        kept = {name: value for name, value in answer.headers.items() if name not in _DROPPED}
        return HttpAnswer(status=answer.status_code, body=answer.content, headers=kept)


class Gate:
    """ASGI middleware: lets in nothing but forwarded requests, and says in `scope["state"]` what they are."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        request = None if body is None else self._verified(scope, body)
        if body is None or request is None:
            title = "This address takes requests of Chancery's own processes only."
            refused = problem(403, "not-forwarded", title, headers={_REFUSED: "1"})
            await refused.response()(scope, receive, send)
            return
        state = {**scope.get("state", {}), "forwarded": request}
        await self._app(
            {**scope, "client": (request.client, 0), "state": state}, replay_body(body, receive), send
        )

    def _verified(self, scope: Scope, body: bytes) -> Forwarded | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        stamp = _Stamp.parse(headers.get(HEADER, ""))
        if stamp is None:
            return None
        query = scope["query_string"].decode("latin-1")
        request = Forwarded(
            method=scope["method"],
            target=scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
            headers={name: headers[name] for name in HANDED_ON if name in headers},
            body=body,
            client=stamp.client,
            seconds=stamp.milliseconds / 1000,
        )
        is_ours = hmac.compare_digest(stamp.signed(self._key, request), headers[HEADER])
        return request if is_ours and abs(_now_ms() - stamp.sent_ms) <= LONGEST_MS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamp:
    """What the header says in the open: when it was sent, how long it may take, for whom."""

    sent_ms: int
    milliseconds: int
    client: str

    @classmethod
    def of(cls, request: Forwarded) -> Self:
        return cls(sent_ms=_now_ms(), milliseconds=int(request.seconds * 1000), client=request.client)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        version, *fields = text.split(";")
        if version != "v1" or len(fields) != 4 or not (fields[0].isdecimal() and fields[1].isdecimal()):  # noqa: PLR2004  # as `signed` writes them
            return None
        return cls(sent_ms=int(fields[0]), milliseconds=int(fields[1]), client=fields[2])

    def signed(self, key: bytes, request: Forwarded) -> str:
        said = f"v1;{self.sent_ms};{self.milliseconds};{self.client}"
        handed_on = sorted((name, request.headers[name]) for name in HANDED_ON if name in request.headers)
        named = [part.encode("latin-1") for pair in handed_on for part in pair]
        covered = (said, request.method, request.target)
        mac = keyed_digest(key, *(part.encode("latin-1") for part in covered), *named, request.body)
        return f"{said};{base64url(mac)}"


def _now_ms() -> int:
    return int(time.time() * 1000)
