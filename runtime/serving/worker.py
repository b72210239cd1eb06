"""Processes without requests: their work, and beside it an HTTP port for health and metrics."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from runtime.serving.app import Vitals, new_app
from runtime.serving.server import serve_http


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    title: str
    host: str
    port: int


async def serve_worker(work: Coroutine[Any, Any, None], vitals: Vitals, listen: Listen) -> None:
    """Returns after SIGTERM or SIGINT, once the work was cancelled and has closed; raises what ended it."""
    app = new_app(listen.title, vitals)
    working = asyncio.create_task(work)
    serving = asyncio.create_task(serve_http(app, host=listen.host, port=listen.port))
    await asyncio.wait((working, serving), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    serving.cancel()
    await asyncio.wait((working, serving))
    for task in (working, serving):
        if not task.cancelled():
            task.result()
