"""Start, look at and stop a local stack: for the command line and for tests.

info = start_stack(home, {**os.environ, **free_port_variables()}, selection="infra", lifetime="caller")
...
stop_stack(home)
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localstack.child import ends_with_parent
from localstack.errors import StackError, tail
from localstack.plan import make_plan
from localstack.ports import LOOPBACK, Ports
from localstack.settings_files import PRIVATE, parse
from localstack.state import ProcessState, Selection, StackState, load, running_pid
from localstack.supervisor import ALREADY_RUNNING

Lifetime = Literal["own", "caller"]
"""Whether the stack outlives the process that started it, or the kernel stops it with that."""

PAUSE_SECONDS = 0.05
DYING_SECONDS = 0.25
START_SECONDS = 300.0
"""The supervisor has closer deadlines of its own; this one includes fetching Kafka over a slow network."""

STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackInfo:
    """A stack that is ready. `settings` is all that Chancery's processes need, secrets included."""

    home: Path
    ports: Ports
    settings: Mapping[str, str]
    processes: Mapping[str, ProcessState]

    @property
    def command_url(self) -> str:
        return self.settings["CHANCERY_COMMAND_URL"]

    @property
    def query_url(self) -> str:
        return self.settings["CHANCERY_QUERY_URL"]

    @property
    def grpc(self) -> str:
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def kafka(self) -> str:
        return self.settings["CHANCERY_KAFKA_BOOTSTRAP"]

    @property
    def postgres_dsn(self) -> str:
        return self.settings["CHANCERY_POSTGRES_DSN"]

    @property
    def redis_url(self) -> str:
        return self.settings["CHANCERY_REDIS_URL"]

    @property
    def smtp(self) -> str:
        return f"{LOOPBACK}:{self.ports.mail}"


def start_stack(
    home: Path,
    environment: Mapping[str, str],
    *,
    selection: Selection = "all",
    lifetime: Lifetime = "own",
    on_progress: Callable[[StackState], None] = lambda _state: None,
) -> StackInfo:
    """Start a stack in `home` and return when all of it is ready.

    One that already runs is waited for; one that is just ending is waited for and then started anew.

    Raises StackError with a sentence and the end of the guilty log. Tells `on_progress` what it sees.
    """
    home = home.resolve()
    (home / "log").mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home / "log" / "supervisor.log"
    supervisor: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if supervisor is None and running_pid(home) is None:
            supervisor = _spawn(home, environment, selection, lifetime, log)
        state = _current(home, supervisor)
        if state is not None:
            on_progress(state)
            if state.phase == "ready" and (supervisor is not None or _lives_on(home, state)):
                return info_of(home, state)
        code = None if supervisor is None else supervisor.poll()
        if code == ALREADY_RUNNING:
            supervisor = None
        elif supervisor is not None and code is not None:
            raise StackError(_failure_of(home, supervisor.pid, log))
        time.sleep(PAUSE_SECONDS)
    stop_stack(home)
    raise StackError(
        f"The stack in {home} was not ready after {START_SECONDS:.0f} s. The end of {log}:\n{tail(log)}"
    )


def stop_stack(home: Path) -> bool:
    """Stop the stack of `home` and wait until all of it is gone. False when none ran."""
    pid = running_pid(home)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running_pid(home) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise StackError(f"The supervisor {pid} did not stop within {STOP_SECONDS:.0f} s and was killed.")
        time.sleep(PAUSE_SECONDS)
    return True


def running_stack(home: Path) -> StackState | None:
    """What the living supervisor of `home` last said; None when there is none."""
    pid = running_pid(home)
    state = load(home)
    return state if pid is not None and state is not None and state.supervisor_pid == pid else None


def info_of(home: Path, state: StackState) -> StackInfo:
    secrets = parse((home / "secrets.env").read_text())
    settings = {**secrets, **state.settings, "CHANCERY_HOME": str(home)}
    return StackInfo(home=home, ports=state.ports, settings=settings, processes=state.processes)


async def ask_processes(home: Path, state: StackState) -> dict[str, bool]:
    """Ask every part of a running stack now whether it answers."""
    plan = make_plan(home, os.environ, state.ports, state.selection)
    parts = {part.name: part for part in plan.parts}
    answers = await asyncio.gather(*(parts[name].answers() for name in state.processes))
    return dict(zip(state.processes, answers, strict=True))


def _spawn(
    home: Path,
    environment: Mapping[str, str],
    selection: Selection,
    lifetime: Lifetime,
    log: Path,
) -> subprocess.Popen[bytes]:
    descriptor = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE)
    try:
        supervisor = subprocess.Popen(  # noqa: S603 - our own command line
            (sys.executable, "-m", "localstack.supervisor", "--parts", selection),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=Path(__file__).parent.parent,
            env={**environment, "CHANCERY_HOME": str(home)},
            start_new_session=True,
            preexec_fn=ends_with_parent(signal.SIGTERM) if lifetime == "caller" else None,  # noqa: PLW1509 - one call of prctl
        )
    finally:
        os.close(descriptor)
    threading.Thread(target=supervisor.wait, daemon=True).start()  # Reaps it in a caller that outlives it.
    return supervisor


def _current(home: Path, supervisor: subprocess.Popen[bytes] | None) -> StackState | None:
    """The state that the supervisor in question wrote, not one of an earlier run."""
    if supervisor is None:
        return running_stack(home)
    state = load(home)
    return state if state is not None and state.supervisor_pid == supervisor.pid else None


def _lives_on(home: Path, state: StackState) -> bool:
    """A killed supervisor holds its lock for a moment longer; one that still does after this pause lives."""
    time.sleep(DYING_SECONDS)
    return running_pid(home) == state.supervisor_pid


def _failure_of(home: Path, pid: int, log: Path) -> str:
    state = load(home)
    if state is not None and state.supervisor_pid == pid and state.failure:
        return state.failure
    return log.read_text(errors="replace").strip() or f"The supervisor ended without a word. Its log: {log}"
