"""Requests that one of our processes hands on to another: signed, with the time that is left for them.

The signature is that of `stamps`. It hides nothing: that is the work of TLS, which both sides can be given.
"""

import ssl
from dataclasses import dataclass

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.certificates import load_pair
from runtime.serving.answers import HttpAnswer, problem
from runtime.serving.body import read_body, replay_body
from runtime.serving.stamps import Channel, SignedRequest, stamp, verified

SYSTEM = Channel(header="chancery-system", covers=("content-type", "idempotency-key"))
"""Commands of our own workers. What covers them is handed on with them, and checked again where they are decided."""
HANDED_ON = ("authorization", "content-type", "idempotency-key", "traceparent", "user-agent", SYSTEM.header)
"""The headers of a request that its answer may depend on."""
FORWARDED = Channel(header="chancery-forwarded", covers=HANDED_ON)
_REFUSED = "chancery-not-taken"
_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=10)
_CONNECT_SECONDS = 0.25
_DROPPED = frozenset({"content-length", "connection", "date", "transfer-encoding", "keep-alive"})


class NotSentError(Exception):
    """The other process did not take the request: nothing of it can happen there."""


class NoAnswerError(Exception):
    """The request was sent, and what became of it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for both directions: our certificate and key, and the authority that the other side must be from."""

    certificate: str
    key: str
    authority: str

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        load_pair(context, self.certificate, self.key)
        return context


class Sender:
    """Sends requests to other processes over a bounded pool."""

    def __init__(self, key: bytes, tls: Tls | None, channel: Channel = FORWARDED) -> None:
        self._key = key
        self._channel = channel
        self._client = httpx.AsyncClient(
            verify=True if tls is None else tls.client_context(), limits=_CONNECTIONS, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, url: str, request: SignedRequest) -> HttpAnswer:
        """The other process's answer. NotSentError or NoAnswerError if there is none in time."""
        headers = {**request.headers, self._channel.header: stamp(self._channel, self._key, request)}
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

    def _verified(self, scope: Scope, body: bytes) -> SignedRequest | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        came = SignedRequest(
            method=scope["method"],
            target=scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
            headers=headers,
            body=body,
            client="",
            seconds=0,
        )
        return verified(headers.get(FORWARDED.header, ""), FORWARDED, self._key, came)
