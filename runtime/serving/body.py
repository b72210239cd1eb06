"""Bodies are read whole before anything else happens: bounded in size and in time."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.serving.answers import HttpAnswer, failure

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0


class BoundedBody:
    """ASGI middleware: 413 for a body over the limit, 408 for one that does not arrive."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        """`limits` in bytes, of paths that do not have the usual one."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], MAX_BODY_BYTES)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(receive, limit)
        except TimeoutError:
            answer = failure(
                scope["path"], 408, "request-timeout", "The request body did not arrive in time."
            )
            await _send(answer, scope, receive, send)
            return
        if body is None:
            return
        if len(body) > limit:
            title = f"The request body is larger than {limit} bytes."
            await _send(failure(scope["path"], 413, "body-too-large", title), scope, receive, send)
            return
        await self._app(scope, replay_body(body, receive), send)


async def read_body(receive: Receive, limit: int = MAX_BODY_BYTES) -> bytes | None:
    """The body, or as much of it as shows that it is too large; None if the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > limit:
            return bytes(body)


def replay_body(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _send(answer: HttpAnswer, scope: Scope, receive: Receive, send: Send) -> None:
    response = answer.response()
    response.headers["connection"] = "close"
    await response(scope, receive, send)
