"""`chancery up` and its companions on a stack of their own: started, looked at, interrupted, stopped, deleted."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localstack.ports import free_port_variables
from localstack.stack import running_stack, stop_stack
from localstack.state import running_pid
from tests.support.command_line import chancery, ended, start
from tests.support.tasks import eventually

START_SECONDS = 60.0


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Ports of its own in a home that is not there yet; whatever a test leaves running is stopped."""
    home = tmp_path / "home"
    yield {**free_port_variables(), "CHANCERY_HOME": str(home)}
    if home.exists():
        await asyncio.to_thread(stop_stack, home)


async def test_a_stack_is_started_looked_at_stopped_and_deleted(settings: dict[str, str]) -> None:
    home = Path(settings["CHANCERY_HOME"])
    up = await chancery("up", "--parts", "infra", settings=settings, seconds=START_SECONDS)
    assert (up.code, up.err) == (0, "")
    assert up.out.startswith(f"Starting Chancery in {home}\n")
    assert [name for name in ("kafka", "postgres", "valkey", "mail") if f"✓ {name} " not in up.out] == []
    assert "SMTP" in up.out
    assert "/docs" not in up.out
    again = await chancery("up", "--parts", "infra", settings=settings)
    assert (again.code, again.out.startswith("Chancery already runs in")) == (0, True)
    status = json.loads((await chancery("status", "--json", settings=settings)).out)
    assert {name: one["ready"] for name, one in status["processes"].items()} == dict.fromkeys(
        ("kafka", "postgres", "valkey", "mail"), True
    )
    down = await chancery("down", settings=settings)
    assert (down.code, down.out.startswith("Stopped ")) == (0, True)
    assert down.out.endswith(f"The data stays in {home}.\n")
    assert running_pid(home) is None
    assert (await chancery("status", settings=settings)).code == 3
    cleaned = await chancery("clean", settings=settings)
    assert (cleaned.code, cleaned.out) == (0, f"Deleted {home}.\n")
    assert not await asyncio.to_thread(home.exists)
    assert (await chancery("clean", settings=settings)).out == "Nothing to delete.\n"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_stack_in_the_foreground_ends_with_its_command(
    settings: dict[str, str], ending: signal.Signals
) -> None:
    home = Path(settings["CHANCERY_HOME"])
    process = await start("up", "--parts", "infra", "--foreground", settings=settings)
    await eventually(lambda: is_ready(home), within_seconds=START_SECONDS)
    await asyncio.sleep(0.5)
    process.send_signal(ending)
    outcome = await ended(process)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("Stopping.\n")
    assert running_pid(home) is None


async def test_a_foreground_command_ends_when_its_stack_is_stopped_elsewhere(
    settings: dict[str, str],
) -> None:
    home = Path(settings["CHANCERY_HOME"])
    process = await start("up", "--parts", "infra", "--foreground", settings=settings)
    await eventually(lambda: is_ready(home), within_seconds=START_SECONDS)
    assert (await chancery("down", settings=settings)).code == 0
    outcome = await ended(process)
    assert (outcome.code, outcome.err) == (0, "")


async def test_a_start_that_is_interrupted_leaves_nothing_running(settings: dict[str, str]) -> None:
    home = Path(settings["CHANCERY_HOME"])
    process = await start("up", "--parts", "infra", settings=settings)
    await eventually(lambda: has_begun(home), within_seconds=START_SECONDS)
    process.send_signal(signal.SIGINT)
    outcome = await ended(process)
    assert outcome.code == 130
    assert outcome.out.endswith("Interrupted: stopping what has started.\n")
    assert running_pid(home) is None


async def test_a_start_that_fails_says_why_and_exits_with_three(settings: dict[str, str]) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    own = {**settings, "CHANCERY_LOCAL_SMTP_PORT": str(port)}
    outcome = await chancery("up", "--parts", "infra", settings=own, seconds=START_SECONDS)
    taken.close()
    assert outcome.code == 3
    assert outcome.err.startswith(f"Port {port} for mail is taken by ")
    assert "Traceback" not in outcome.err


async def test_logs_are_followed_until_ctrl_c(settings: dict[str, str]) -> None:
    folder = Path(settings["CHANCERY_HOME"]) / "log"
    folder.mkdir(parents=True)
    (folder / "kafka.log").write_text("first\n")
    process = await start("logs", "--follow", settings=settings)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"kafka first\n"
    with (folder / "kafka.log").open("a") as log:
        log.write("second\nhalf a li")
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"kafka second\n"
    (folder / "kafka.log").write_text("anew\n")
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"kafka anew\n"
    process.send_signal(signal.SIGINT)
    outcome = await ended(process)
    assert (outcome.code, outcome.out) == (0, "")


async def test_a_part_that_is_down_is_shown_so(settings: dict[str, str]) -> None:
    home = Path(settings["CHANCERY_HOME"])
    assert (await chancery("up", "--parts", "infra", settings=settings, seconds=START_SECONDS)).code == 0
    state = running_stack(home)
    assert state is not None
    pid = state.processes["valkey"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    outcome = await chancery("status", settings=settings)
    os.kill(pid, signal.SIGCONT)
    rows = {line.split()[0]: line.split()[3] for line in outcome.out.splitlines()}
    assert (outcome.code, rows["valkey"], rows["mail"]) == (0, "no", "yes")


async def is_ready(home: Path) -> bool:
    state = running_stack(home)
    return state is not None and state.phase == "ready"


async def has_begun(home: Path) -> bool:
    state = running_stack(home)
    return state is not None and any(one.pid for one in state.processes.values())
