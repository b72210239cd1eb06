"""A service behind a gateway: the SDK's middleware as services use it, and a note of all that arrived before it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from chancery_sdk.asgi import GatewayIdentity
from localstack.ports import LOOPBACK
from runtime.serving.server import bind

IDENTITY_PREFIX = "x-auth-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request as the service's server understood it, with trailers among its headers."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def identity(self) -> list[tuple[str, str]]:
        """What a framework that makes no difference between - and _ takes for the gateway's word."""
        named = [(name.replace("_", "-"), value) for name, value in self.headers]
        return sorted((name, value) for name, value in named if name.startswith(IDENTITY_PREFIX))

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one == name]


class Upstream:
    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._service = GatewayIdentity(_tell_who)

    def take_arrivals(self) -> list[Arrival]:
        """Those since this was asked before."""
        taken = list(self._arrivals)
        self._arrivals.clear()
        return taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        self._arrivals.append(
            Arrival(
                method=scope["method"],
                path=f"{path}?{query}" if query else path,
                headers=tuple(headers),
                body=bytes(body),
            )
        )

        async def nothing_more() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self._service(scope, nothing_more, send)


async def _tell_who(scope: Scope, receive: Receive, send: Send) -> None:
    identity = Request(scope).state.identity
    who = {
        "account": identity.account_id,
        "session": identity.session_id,
        "client": identity.client_id,
        "scopes": sorted(identity.scopes),
    }
    await JSONResponse(who)(scope, receive, send)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are pytest's."""
        yield


@asynccontextmanager
async def serving(upstream: Upstream, port: int) -> AsyncIterator[None]:
    """By a plain uvicorn, as other services have it."""
    config = uvicorn.Config(upstream, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[bind(LOOPBACK, port)]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
