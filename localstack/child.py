"""One process of the stack, kept alive: started, probed, restarted when it dies, stopped when told.

On Linux the kernel stops it when the supervisor dies, however that dies.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localstack.errors import StackError, tail
from localstack.part import Part
from localstack.settings_files import PRIVATE
from localstack.state import ProcessState

PR_SET_PDEATHSIG = 1
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
PROBE_PAUSE_SECONDS = 0.05
RESTART_FIRST_SECONDS = 0.2
RESTART_MOST_SECONDS = 5.0
CALM_SECONDS = 30.0
DISK_PAUSE_SECONDS = 0.5
MOST_FALSE_STARTS = 5


class Child:
    """A part and its process. `on_change` is called whenever what `state` says has changed."""

    def __init__(
        self, part: Part, log: Path, environment: Mapping[str, str], on_change: Callable[[], None]
    ) -> None:
        self.part = part
        self.log = log
        self._environment = {**environment, **part.environment}
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._is_wanted = True
        self._is_ready = asyncio.Event()
        self._doing = "waiting"
        self._ready_after_seconds: float | None = None
        self._deaths = 0
        self._failed = asyncio.Event()

    @property
    def state(self) -> ProcessState:
        pid = self._process.pid if self._process else None
        return ProcessState(
            pid=pid,
            born=birth_mark(pid) if pid else None,
            ready=self._is_ready.is_set(),
            doing=self._doing,
            ready_after_seconds=self._ready_after_seconds,
            restarts=self._deaths,
        )

    def report(self, doing: str) -> None:
        self._doing = doing
        self._on_change()

    async def keep_alive(self) -> None:
        """Run the process again and again until `stop`."""
        began = time.monotonic()
        delay = RESTART_FIRST_SECONDS
        while self._is_wanted:
            await self._until_the_disk_keeps()
            if not self._is_wanted:
                return
            started = time.monotonic()
            process = self._process = await self._spawn()
            self.report("starting")
            probing = asyncio.create_task(self._probe(process, began))
            code = await process.wait()
            probing.cancel()
            _end_group(process.pid)
            self._note_death(code)
            if not self._is_wanted:
                return
            if time.monotonic() - started >= CALM_SECONDS:
                delay = RESTART_FIRST_SECONDS
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_MOST_SECONDS)

    async def _until_the_disk_keeps(self) -> None:
        """No store is started on a disk that does not keep what it is told to.

        A broker that is started there takes its unfinished recovery for corruption, empties its metadata log, and
        then drops every topic that it no longer knows of.
        """
        while self._is_wanted and self.part.disk is not None and self.part.disk.is_dir():
            try:
                await asyncio.to_thread(_keep_something, self.part.disk)
            except OSError as error:
                self.report(f"waits for its disk: {error.strerror}")
                await asyncio.sleep(DISK_PAUSE_SECONDS)
            else:
                return

    async def wait_ready(self) -> None:
        """Return once the process answers; raise with its log's end if it does not in time or keeps dying."""
        waits = [asyncio.create_task(event.wait()) for event in (self._is_ready, self._failed)]
        try:
            await asyncio.wait(waits, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self._is_ready.is_set():
            what = (
                "keeps ending right after its start"
                if self._failed.is_set()
                else f"is not ready after {READY_SECONDS:.0f} s"
            )
            raise StackError(f"{self.part.name} {what}. The end of {self.log}:\n{tail(self.log)}")

    async def stop(self) -> str:
        """Stop the process for good and say how it went."""
        self._is_wanted = False
        process = self._process
        if process is None:
            return "not running"
        self.report("stopping")
        process.send_signal(self.part.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"killed after {STOP_SECONDS:.0f} s"
        return "stopped"

    async def _probe(self, process: asyncio.subprocess.Process, began: float) -> None:
        while not await self.part.answers():  # noqa: ASYNC110 - another process has no Event
            await asyncio.sleep(PROBE_PAUSE_SECONDS)
        if process.returncode is None:
            self._ready_after_seconds = self._ready_after_seconds or round(time.monotonic() - began, 1)
            self._is_ready.set()
            self.report("ready")

    def _note_death(self, code: int) -> None:
        self._process = None
        self._is_ready.clear()
        self._deaths += 1
        if self._deaths >= MOST_FALSE_STARTS:
            self._failed.set()
        self.report(f"ended with {code}")

    async def _spawn(self) -> asyncio.subprocess.Process:
        owner = self.part.owner
        identity: dict[str, Any] = {}
        if owner is not None:
            identity = {"user": owner.user_id, "group": owner.group_id, "extra_groups": []}
        log = os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, PRIVATE)
        try:
            return await asyncio.create_subprocess_exec(
                *self.part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.part.folder,
                env=self._environment,
                process_group=0,
                preexec_fn=ends_with_parent(self.part.stop_signal),
                **identity,
            )
        finally:
            os.close(log)


def _keep_something(folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".disk-") as file:
        file.write(b"kept?")
        file.flush()
        os.fsync(file.fileno())


def ends_with_parent(ending: signal.Signals) -> Callable[[], None]:
    """A function for a new child: from then on the kernel sends it `ending` when this process dies.

    It is to run after a change of user, which clears the wish; subprocess does it in this order.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, int(ending), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def _end_group(leader: int) -> None:
    """End what a dead process may have left in its group, such as a Java that writes a class archive."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def birth_mark(pid: int) -> str | None:
    """The start time of a living process as the kernel writes it; None when there is none or no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
