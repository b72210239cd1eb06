"""`chancery doctor`, as a person or a program asks for it."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CHECK_FAILED

if TYPE_CHECKING:
    from cli.doctor.finding import Finding

SETTINGS = "settings"


def doctor(
    at: Annotated[
        list[str] | None,
        typer.Option(help="Where a process is, if not where the settings say: mailer=http://10.0.0.5:8085."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at every part of the installation; say what is wrong and what to do. Exit code 1 if anything is red.

    It changes nothing and sends no mail.
    """
    from cli.doctor.checks import NOT_LOOKED_AT
    from cli.doctor.report import as_object, is_well, lines, summary
    from runtime.logs import configure_logs

    places = _places(at or [])
    # Drivers would name addresses; what matters has a line here.
    configure_logs(process="doctor", log_format="console", level="critical")
    began, loop = time.monotonic(), asyncio.new_event_loop()
    found = loop.run_until_complete(_examine(places))
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps(as_object(found, seconds, NOT_LOOKED_AT)))
    else:
        for level, text in lines(found):
            typer.echo(f"{typer.style(f'{level:<6}', fg=level)} {text}")
        typer.echo(f"\n{summary(found, seconds)} Not looked at: {', '.join(NOT_LOOKED_AT)}.")
    _leave(0 if is_well(found) else CHECK_FAILED)


def _leave(code: int) -> None:
    """All is said. A name that the system is still looking up would keep Python from ending."""
    sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    raise typer.Exit(code)


async def _examine(at: Mapping[str, str]) -> "Sequence[Finding]":
    from cli.doctor.checks import all_checks
    from cli.doctor.finding import examine, green, red
    from runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        said = str(error).replace("\n", "; ")
        return [red(SETTINGS, said, "docs/reference/configuration.md; nothing else was looked at.")]
    return [green(SETTINGS, f"for {settings.mode}"), *await examine(all_checks(at), settings)]


def _places(texts: Sequence[str]) -> dict[str, str]:
    from cli.doctor.processes import PROCESSES

    places = {name: url for name, _, url in (text.partition("=") for text in texts)}
    for name, url in places.items():
        if name not in PROCESSES or not url.startswith(("http://", "https://")):
            raise typer.BadParameter(f"--at is NAME=URL, with a name of {', '.join(PROCESSES)}")
    return places
