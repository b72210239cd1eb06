"""`chancery serve …`: one process of the platform, in the foreground, until SIGTERM or SIGINT."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.failures import USAGE, explained

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from prometheus_client import CollectorRegistry

    from runtime.health import Health
    from runtime.settings import Settings

    Worker = Callable[[Settings, Health, CollectorRegistry], Coroutine[Any, Any, None]]

Process = Literal["command", "query", "projectors", "mailer"]


def serve(process: Annotated[Process, typer.Argument(help="Which process to run.")]) -> None:
    """Run one process in the foreground."""
    if sys.flags.optimize:
        print(
            "Chancery refuses to run under `python -O`: it strips checks that aiokafka relies on.",
            file=sys.stderr,
        )
        sys.exit(USAGE)
    with explained():
        from runtime.logs import configure_logs
        from runtime.settings import load_settings

        settings = load_settings()
        configure_logs(process=process, log_format=settings.log_format, level=settings.log_level)
        _run(_RUNNERS[process](settings))


def _run(work: Awaitable[None]) -> None:
    import uvloop

    async def main() -> None:
        await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def _command(settings: "Settings") -> None:
    from command_api.app import open_command_api
    from runtime.serving.server import serve_http

    async with open_command_api(settings) as app:
        await serve_http(app, host=settings.bind_host, port=settings.command_port)


async def _query(settings: "Settings") -> None:
    from query_api.app import open_query_api
    from runtime.serving.server import serve_http

    async with open_query_api(settings) as app:
        await serve_http(app, host=settings.bind_host, port=settings.query_port)


async def _projectors(settings: "Settings") -> None:
    from projectors.app import run

    await _serve_worker("Chancery projectors", run, settings, settings.projectors_port)


async def _mailer(settings: "Settings") -> None:
    from projectors.mailer_app import run

    await _serve_worker("Chancery mailer", run, settings, settings.mailer_port)


async def _serve_worker(title: str, run: "Worker", settings: "Settings", port: int) -> None:
    from prometheus_client import CollectorRegistry

    from runtime.health import Health
    from runtime.serving.app import Vitals
    from runtime.serving.worker import Listen, serve_worker

    health, registry = Health(), CollectorRegistry()
    vitals = Vitals(failing=health.failing, registry=registry)
    listen = Listen(title=title, host=settings.bind_host, port=port)
    await serve_worker(run(settings, health, registry), vitals, listen)


_RUNNERS: dict[str, Callable[["Settings"], Awaitable[None]]] = {
    "command": _command,
    "query": _query,
    "projectors": _projectors,
    "mailer": _mailer,
}
