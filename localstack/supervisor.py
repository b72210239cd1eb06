"""The process that owns all others of a local stack: starts them, keeps them alive, stops them in order.

It holds the lock of its home for as long as it lives and says in state.json what it does.
Run as `python -m localstack.supervisor [--parts infra]` with CHANCERY_HOME set; `stack.py` does.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from localstack.child import Child, ends_with_parent
from localstack.errors import StackError, tail
from localstack.leftovers import wait_gone
from localstack.part import Part
from localstack.plan import Plan, make_plan
from localstack.ports import check_free, load_ports
from localstack.settings_files import PRIVATE, render, write_private
from localstack.state import Phase, Selection, StackState, load, save, take_lock
from runtime.settings import home as chosen_home

FREE_BYTES = 1 << 30
LOG_BYTES = 8 << 20
PROVISION_SECONDS = 20.0
PROVISION_PAUSE_SECONDS = 0.5
USAGE = 2
UNREACHABLE = 3
ALREADY_RUNNING = 75


class Supervisor:
    """One run of one stack."""

    def __init__(self, plan: Plan, selection: Selection) -> None:
        self._plan = plan
        self._selection: Selection = selection
        self._phase: Phase = "starting"
        self._failure: str | None = None
        self._started_at = datetime.now(UTC)
        self._keepers: list[asyncio.Task[None]] = []
        self._settling: asyncio.Task[None] | None = None
        self._infrastructure = {part.name: self._child(part) for part in plan.infrastructure}
        self._processes = {part.name: self._child(part) for part in plan.processes}

    async def run(self, stopping: asyncio.Event) -> int:
        """Start everything, wait for the wish to stop, stop everything. The exit code of the process."""
        start = asyncio.create_task(self._start())
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                self._enter("ready")
                self._settling = asyncio.create_task(self._settle())
                await self._watch(stop)
        except* StackError as errors:
            self._failure = _first_sentence(errors)
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await self._stop()
        self._enter("failed" if self._failure else "stopped")
        return UNREACHABLE if self._failure else 0

    async def _start(self) -> None:
        self._enter("starting")
        async with asyncio.TaskGroup() as group:
            infrastructure = {
                name: group.create_task(self._bring_up(child)) for name, child in self._infrastructure.items()
            }
            await asyncio.gather(*(task for name, task in infrastructure.items() if name.startswith("kafka")))
            await infrastructure["postgres"]
            if self._processes:
                await self._provision()
            for child in self._processes.values():
                group.create_task(self._bring_up(child))

    async def _bring_up(self, child: Child) -> None:
        await child.part.prepare(child.report)
        self._keepers.append(asyncio.create_task(child.keep_alive()))
        await child.wait_ready()

    async def _provision(self) -> None:
        """Topics and tables, by the one-shot `chancery provision`; again while the stores warm up."""
        log = self._plan.home / "log" / "provision.log"
        deadline = time.monotonic() + PROVISION_SECONDS
        while True:
            descriptor = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "cli.main", "provision"),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    cwd=Path(__file__).parent.parent,
                    env=self._plan.environment,
                    preexec_fn=ends_with_parent(signal.SIGTERM),
                )
            finally:
                os.close(descriptor)
            code = await process.wait()
            if code == 0:
                return
            if code == USAGE or time.monotonic() > deadline:
                raise StackError(f"`chancery provision` could not make the topics and tables:\n{tail(log)}")
            await asyncio.sleep(PROVISION_PAUSE_SECONDS)

    async def _settle(self) -> None:
        for child in self._infrastructure.values():
            pid = child.state.pid
            if child.part.settle is not None and pid is not None:
                await child.part.settle(pid)

    async def _watch(self, stop: asyncio.Task[bool]) -> None:
        done, _ = await asyncio.wait((stop, *self._keepers), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _stop(self) -> None:
        """Those that use others first, together; then the others one after another."""
        self._enter("stopping")
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
        endings = await asyncio.gather(*(child.stop() for child in self._processes.values()))
        for name, ending in zip(self._processes, endings, strict=True):
            print(f"{name}: {ending}", flush=True)  # noqa: T201 - the supervisor's log
        for names in reversed(self._steps()):
            endings = await asyncio.gather(*(self._infrastructure[name].stop() for name in names))
            for name, ending in zip(names, endings, strict=True):
                print(f"{name}: {ending}", flush=True)  # noqa: T201 - as above
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def _steps(self) -> list[list[str]]:
        """Brokers of one cluster stop together: the last ones could not leave it in order without the first."""
        brokers = [name for name in self._infrastructure if name.startswith("kafka")]
        others = ([name] for name in self._infrastructure if name not in brokers[1:])
        return [brokers if step == brokers[:1] else step for step in others]

    def _child(self, part: Part) -> Child:
        log = self._plan.home / "log" / f"{part.name}.log"
        return Child(part, log, self._plan.environment, self._save)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._save()

    def _save(self) -> None:
        children = {**self._infrastructure, **self._processes}
        save(
            self._plan.home,
            StackState(
                supervisor_pid=os.getpid(),
                started_at=self._started_at,
                phase=self._phase,
                selection=self._selection,
                ports=self._plan.ports,
                settings=self._plan.settings,
                failure=self._failure,
                processes={name: child.state for name, child in children.items()},
            ),
        )


async def supervise(home: Path, selection: Selection) -> int:
    """Prepare the home and run the stack until SIGTERM, SIGINT or SIGHUP."""
    stopping = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(ending, stopping.set)
    check_disk(home)
    await wait_gone(load(home))
    ports = load_ports(os.environ)
    plan = make_plan(home, os.environ, ports, selection)
    single = [part.name for part in plan.parts if not part.name.startswith("kafka_")]
    check_free(ports, ("kafka_controller", *single, *(["grpc"] if "query" in single else [])))
    write_private(home / "local.env", render(plan.derived))
    _turn_logs(home / "log")
    return await Supervisor(plan, selection).run(stopping)


def check_disk(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < FREE_BYTES:
        raise StackError(
            f"Only {free >> 20} MiB are free where {home} lies, and the stack needs {FREE_BYTES >> 20}. "
            "Free some, or choose another folder with CHANCERY_HOME=<folder>.",
        )


def _turn_logs(folder: Path) -> None:
    """A log that has grown large becomes `<name>.log.1`; the one before that is dropped."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for log in folder.glob("*.log"):
        if log.name != "supervisor.log" and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def _first_sentence(errors: ExceptionGroup[StackError]) -> str:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m localstack.supervisor")
    parser.add_argument("--parts", choices=("all", "infra"), default="all")
    selection: Selection = parser.parse_args().parts
    home = chosen_home()
    home.mkdir(parents=True, exist_ok=True)
    if take_lock(home) is None:
        return ALREADY_RUNNING
    try:
        return asyncio.run(supervise(home, selection))
    except StackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - `stack.py` shows it
        return UNREACHABLE


if __name__ == "__main__":
    sys.exit(main())
