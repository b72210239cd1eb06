"""`chancery serve …`: one process of the platform, in the foreground, until SIGTERM or SIGINT."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from cli.failures import USAGE, explained

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from prometheus_client import CollectorRegistry

    from runtime.health import Health
    from runtime.serving.worker import Rest
    from runtime.settings import Settings

    Worker = Callable[[Settings, Health, CollectorRegistry, Rest], Coroutine[Any, Any, None]]

T = TypeVar("T")
Process = Literal["command", "query", "projectors", "mailer", "relay", "risk"]

START_PAUSE_SECONDS = 0.5


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
        from runtime.tracing import recorded

        settings = load_settings()
        configure_logs(process=process, log_format=settings.log_format, level=settings.log_level)
        with recorded(process):
            _run(_RUNNERS[process](settings))


def _run(work: Awaitable[None]) -> None:
    import uvloop

    from runtime.collector import collect_seldom

    collect_seldom()

    async def main() -> None:
        await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def _command(settings: "Settings") -> None:
    from command_api.app import open_command_api
    from runtime.collector import freeze_what_stays
    from runtime.serving.server import serve_all

    leaving = asyncio.Event()
    opening = partial(open_command_api, settings, leaving)
    async with _once_possible(opening, settings.start_seconds) as listeners:
        freeze_what_stays()
        await serve_all(listeners, leaving, leave_seconds=settings.leave_seconds)


@contextlib.asynccontextmanager
async def _once_possible(
    opening: "Callable[[], AbstractAsyncContextManager[T]]", seconds: float
) -> AsyncIterator[T]:
    """Open something as soon as its stores answer: they may be starting too, or one of their nodes be down."""
    from eventstore.errors import TryAgainError
    from runtime.kafka import KafkaUnavailableError
    from runtime.logs import get_logger
    from runtime.postgres import PostgresUnavailableError

    log, loop = get_logger("serve"), asyncio.get_running_loop()
    until = loop.time() + seconds
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                opened = await stack.enter_async_context(opening())
                break
            except (TryAgainError, KafkaUnavailableError, PostgresUnavailableError) as error:
                if loop.time() > until:
                    raise
                log.warning(
                    "waits for its stores", reason=str(error), seconds_left=round(until - loop.time())
                )
            await asyncio.sleep(START_PAUSE_SECONDS)
        yield opened


async def _query(settings: "Settings") -> None:
    from query_api.app import open_query_api
    from runtime.collector import freeze_what_stays
    from runtime.serving.server import Listener, bind, serve_all
    from runtime.serving.short_way import with_short_way

    leaving = asyncio.Event()
    async with open_query_api(settings, leaving) as app:
        freeze_what_stays()
        host, is_shared = settings.bind_host, settings.query_ports == "shared"
        sockets = [bind(host, settings.query_port, is_shared=is_shared)]
        if settings.query_own_port:
            sockets.append(bind(host, settings.query_own_port))
        protocol = with_short_way(app)
        listeners = [Listener(app=app, socket=one, protocol=protocol) for one in sockets]
        await serve_all(listeners, leaving, leave_seconds=settings.leave_seconds)


async def _projectors(settings: "Settings") -> None:
    from projectors.app import run

    await _serve_worker("projectors", run, settings, settings.projectors_port)


async def _mailer(settings: "Settings") -> None:
    from projectors.mailer_app import run

    await _serve_worker("mailer", run, settings, settings.mailer_port)


async def _relay(settings: "Settings") -> None:
    from projectors.relay_app import run

    await _serve_worker("relay", run, settings, settings.relay_port)


async def _risk(settings: "Settings") -> None:
    from projectors.risk_app import run

    await _serve_worker("risk", run, settings, settings.risk_port)


async def _serve_worker(process: Process, run: "Worker", settings: "Settings", port: int) -> None:
    from prometheus_client import CollectorRegistry

    from runtime.health import Health
    from runtime.serving.app import Vitals
    from runtime.serving.worker import Listen, serve_worker

    health, registry = Health(), CollectorRegistry()
    vitals = Vitals(process=process, failing=health.failing, registry=registry)
    listen = Listen(title=f"Chancery {process}", host=settings.bind_host, port=port)
    await serve_worker(partial(run, settings, health, registry), vitals, listen)


_RUNNERS: dict[str, Callable[["Settings"], Awaitable[None]]] = {
    "command": _command,
    "query": _query,
    "projectors": _projectors,
    "mailer": _mailer,
    "relay": _relay,
    "risk": _risk,
}
