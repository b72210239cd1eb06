"""An HTTP server that gives the answers a test wants to a worker that gives commands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from projectors.system_commands import CommandApi
from runtime.serving.answers import HttpAnswer
from runtime.serving.forwarded import SYSTEM, Sender
from runtime.serving.server import Listener, bind, serve_all

KEY = b"k" * 32


@dataclass(slots=True)
class Server:
    """Gives these answers one after the other, the last one for ever; remembers keys and bodies."""

    answers: Sequence[HttpAnswer]
    keys: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.bodies.append(await request.body())
        self.keys.append(request.headers["idempotency-key"])
        answer = self.answers[min(len(self.keys), len(self.answers)) - 1]
        await answer.response()(scope, receive, send)


@asynccontextmanager
async def served(server: Server, *, patience_seconds: float = 5) -> AsyncIterator[CommandApi]:
    listener = Listener(app=server, socket=bind("127.0.0.1", 0))
    serving = asyncio.create_task(serve_all([listener]))
    url = f"http://127.0.0.1:{listener.port}"
    api = CommandApi(Sender(KEY, None, SYSTEM), url, "mailer", patience_seconds)
    try:
        yield api
    finally:
        await api.close()
        serving.cancel()
        await asyncio.wait([serving])
