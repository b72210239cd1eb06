"""Structured logs: one line of JSON, or one readable line in a console. Never a secret, never a person.

Our own lines go straight to standard error: the standard library's way costs more than the request's decision.
Libraries' lines go that way, and come out in the same form.
"""

import contextlib
import logging
import sys
from typing import Literal, TextIO

import structlog

Logger = structlog.typing.FilteringBoundLogger


class _Lines:
    """Writes whole lines. One that cannot be written (a full disk, a closed pipe) is lost, and harms nobody."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(line + "\n")
            self._file.flush()

    debug = info = warning = error = critical = exception = msg


def configure_logs(*, process: str, log_format: Literal["console", "json"], level: str) -> None:
    """Route everything, libraries included, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if log_format == "console":
        is_terminal = sys.stderr.isatty()
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=lambda *_: _Lines(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    _configure_libraries([*shared, structlog.stdlib.ExtraAdder()], rendering, level)
    structlog.contextvars.bind_contextvars(process=process)


def _configure_libraries(
    shared: list[structlog.typing.Processor], rendering: list[structlog.typing.Processor], level: str
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    for chatty in ("uvicorn.error", "httpx", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def get_logger(name: str) -> Logger:
    logger: Logger = structlog.get_logger(name)
    return logger
