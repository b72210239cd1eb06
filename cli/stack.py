"""`chancery up | down | status | logs | inbox | clean`: the local stack of this folder."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from cli import follow
from cli.failures import explained
from localstack.errors import StackError
from localstack.inbox import Mail, inbox_file, read_mails
from localstack.ports import BROKERS, LOOPBACK
from localstack.stack import (
    Lifetime,
    StackInfo,
    ask_processes,
    info_of,
    running_stack,
    start_stack,
    stop_stack,
)
from localstack.state import Selection, StackState, running_pid
from runtime.settings import home as chosen_home
from runtime.settings import refuse_unknown_variables

UNREACHABLE = 3
USAGE = 2
NOT_RUNNING = "Nothing runs here. `make up` or `chancery up` starts it."


def up(
    parts: Annotated[
        str, typer.Option(help="`all`, or `infra` for Kafka, PostgreSQL, Valkey and mail only.")
    ] = "all",
    brokers: Annotated[
        int | None, typer.Option(help="1 Kafka broker, or 3 that go on when one dies; 1 if left out.")
    ] = None,
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here; Ctrl-C stops everything.")
    ] = False,
) -> None:
    """Start Kafka, PostgreSQL, Valkey, a mail catcher and Chancery on this machine, without Docker."""
    home = chosen_home()
    selection: Selection = "infra" if parts == "infra" else "all"
    with explained():
        refuse_unknown_variables()
    if parts != selection:
        _refuse("--parts is `all` or `infra`.", USAGE)
    console = Console(highlight=False, soft_wrap=True)
    running = running_stack(home)
    if running is not None and running.selection != selection:
        _refuse(
            f"The stack in {home} runs with --parts {running.selection}. `chancery down` stops it.", USAGE
        )
    if running is not None and brokers not in (None, len(running.ports.brokers)):
        count = len(running.ports.brokers)
        _refuse(f"The stack in {home} runs with --brokers {count}. `chancery down` stops it.", USAGE)
    if running is not None and running.phase == "ready":
        console.print(
            f"Chancery already runs in {home}. `chancery status` shows it, `chancery down` stops it."
        )
        return
    lifetime: Lifetime = "caller" if foreground else "own"
    environment = {**os.environ, **({} if brokers is None else {BROKERS: str(brokers)})}
    try:
        info = _start(console, home, environment, selection, lifetime)
    except StackError as error:
        _refuse(str(error), UNREACHABLE)
    except KeyboardInterrupt:
        console.print("Interrupted: stopping what has started.")
        stop_stack(home)
        raise typer.Exit(130) from None
    _print_next_steps(console, info)
    if foreground:
        _stay(console, home)


def down() -> None:
    """Stop everything that `chancery up` started here. The data stays."""
    home = chosen_home()
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    running = running_stack(home)
    try:
        has_stopped = stop_stack(home)
    except StackError as error:
        _refuse(str(error), UNREACHABLE)
    if not has_stopped:
        console.print("Nothing runs here.")
        return
    names = ", ".join(running.processes) if running else "everything"
    console.print(f"Stopped {names} in {time.monotonic() - began:.1f} s. The data stays in {home}.")


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what runs here, where it listens, and whether it answers."""
    home = chosen_home()
    running = running_stack(home)
    if running is None:
        print(json.dumps({"processes": {}}) if as_json else NOT_RUNNING)
        raise typer.Exit(UNREACHABLE)
    answers = asyncio.run(ask_processes(home, running))
    info = info_of(home, running)
    if as_json:
        print(json.dumps(_status_object(info, answers)))
        return
    _print_status(Console(highlight=False, soft_wrap=True), info, answers)


def logs(
    names: Annotated[
        list[str] | None, typer.Argument(help="Parts, such as `command` or `kafka`; all if none.")
    ] = None,
    *,
    is_following: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
) -> None:
    """Show the logs of the parts, each line with its part's name."""
    folder = chosen_home() / "log"
    available = sorted(file.stem for file in folder.glob("*.log"))
    unknown = sorted(set(names or []) - set(available))
    if unknown:
        _refuse(
            f"There is no log of {', '.join(unknown)}. There are: {', '.join(available) or 'none yet'}.",
            USAGE,
        )
    files = [folder / f"{name}.log" for name in names or available]
    try:
        follow.show(Console(highlight=False, soft_wrap=True), files, "ever" if is_following else "once")
    except KeyboardInterrupt:
        return


def inbox(
    address: Annotated[str | None, typer.Argument(help="Only mails to this address.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per mail.")] = False,
) -> None:
    """Show the mails that the local stack caught, oldest first."""
    mails = read_mails(inbox_file(chosen_home()), address)
    if as_json:
        for mail in mails:
            print(json.dumps(_mail_object(mail)))
        return
    console = Console(highlight=False)
    count = 0
    for count, mail in enumerate(mails, start=1):  # noqa: B007 - counts the mails that a file streams
        _print_mail(console, mail)
    if count == 0:
        console.print("No mail yet." if address is None else f"No mail to {address} yet.")


def clean() -> None:
    """Delete this folder's stack with all its data."""
    home = chosen_home()
    if running_pid(home) is not None:
        _refuse(f"The stack in {home} runs. Stop it first with `chancery down`.", 1)
    if not home.exists():
        print("Nothing to delete.")
        return
    if not (home / "lock").exists():
        _refuse(f"{home} was not made by `chancery up`; it is left alone.", USAGE)
    shutil.rmtree(home)
    print(f"Deleted {home}.")


@dataclass(slots=True)
class _Progress:
    """Prints a line for each part once it is ready, and keeps a status line of those that are not."""

    console: Console
    line: Status
    began: float = field(default_factory=time.monotonic)
    printed: set[str] = field(default_factory=set)

    def __call__(self, state: StackState) -> None:
        for name, process in state.processes.items():
            if process.ready and name not in self.printed:
                self.printed.add(name)
                self.console.print(f"  [green]✓[/] {name:<10} ready in {process.ready_after_seconds} s")
        waiting = [f"{name}: {one.doing}" for name, one in state.processes.items() if not one.ready]
        self.line.update(f"{'; '.join(waiting)} [dim]({time.monotonic() - self.began:.0f} s)[/]")


def _start(
    console: Console, home: Path, environment: Mapping[str, str], selection: Selection, lifetime: Lifetime
) -> StackInfo:
    console.print(f"Starting Chancery in {home}")
    with console.status("starting") as line:
        return start_stack(
            home,
            environment,
            selection=selection,
            lifetime=lifetime,
            on_progress=_Progress(console, line),
        )


def _stay(console: Console, home: Path) -> None:
    """Wait until the stack ends or the person ends it with Ctrl-C or SIGTERM."""

    def end(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        while running_pid(home) is not None:
            time.sleep(0.2)
    except KeyboardInterrupt:
        console.print("Stopping.")
        stop_stack(home)


def _print_next_steps(console: Console, info: StackInfo) -> None:
    lines = []
    if "command" in info.processes:
        lines += [
            f"  writes   {info.command_url}/docs",
            f"  reads    {info.query_url}/docs",
            f"  grpc     {info.grpc} (docs/reference/grpc.md)",
        ]
    lines += [
        f"  kafka    {info.kafka}",
        f"  postgres {LOOPBACK}:{info.ports.postgres}",
        f"  valkey   {info.redis_url}",
        f"  mail     {info.smtp} (SMTP)",
        "",
        "Try    .venv/bin/chancery demo     the whole story",
        "       .venv/bin/chancery inbox    the mails that were sent",
        "Stop   make down                   the data stays",
    ]
    console.print("\n".join(lines), markup=False)


def _status_object(info: StackInfo, answers: dict[str, bool]) -> dict[str, object]:
    return {
        "command_url": info.command_url,
        "query_url": info.query_url,
        "grpc": info.grpc if "query" in info.processes else None,
        "kafka": info.kafka,
        "postgres_dsn": info.postgres_dsn,
        "redis_url": info.redis_url,
        "smtp": info.smtp,
        "processes": {name: {"pid": one.pid, "ready": answers[name]} for name, one in info.processes.items()},
    }


def _print_status(console: Console, info: StackInfo, answers: dict[str, bool]) -> None:
    table = Table("part", "pid", "port", "answers", "restarts", box=None, pad_edge=False)
    for name, one in info.processes.items():
        answer = "[green]yes[/]" if answers[name] else f"[red]no[/] ({one.doing})"
        table.add_row(name, str(one.pid or "-"), str(getattr(info.ports, name)), answer, str(one.restarts))
    console.print(table)


def _mail_object(mail: Mail) -> dict[str, object]:
    at = mail.at.isoformat().replace("+00:00", "Z")
    return {"to": mail.to, "subject": mail.subject, "at": at, "code": mail.code, "text": mail.text}


def _print_mail(console: Console, mail: Mail) -> None:
    from rich.panel import Panel
    from rich.text import Text

    code = f"  code {mail.code}" if mail.code else ""
    title = Text(f"{mail.at:%Y-%m-%d %H:%M:%S}  {mail.to}{code}")
    console.print(Panel(Text(f"{mail.subject}\n\n{mail.text}"), title=title, title_align="left"))


def _refuse(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(code)
