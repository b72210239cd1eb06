"""Runs an application until it is told to stop, and then lets what was accepted finish."""

import signal

import uvicorn
from starlette.types import ASGIApp

DRAIN_SECONDS = 8


async def serve_http(app: ASGIApp, *, host: str, port: int) -> None:
    """Returns after SIGTERM or SIGINT, once open requests are answered or the drain time is over."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has drained; the caller's own clean-up is still to come.
        signal.signal(number, lambda *_: None)
    await uvicorn.Server(config).serve()
