"""Command processes of a test's own on one log, and what happens to processes: death, sleep, another life."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from localstack.child import ends_with_parent
from localstack.ports import LOOPBACK, free_port_variables
from tests.support.chancery import Chancery

ROOT = Path(__file__).parent.parent.parent
READY_SECONDS = 90.0
ENDING_SECONDS = 20.0
PRODUCT = ("cli.main", "serve", "command")
QUICK = ("tests.support.quick_command",)
"""The same process with password hashes that cost next to nothing."""

RIVALS = {"CHANCERY_FORWARDING": "off"}
"""Settings of replicas that decide everything themselves: two that want one partition race in the log."""


@dataclass(slots=True, kw_only=True)
class Replica:
    """One command process, always at the same address."""

    chancery: Chancery
    module: Sequence[str]
    settings: Mapping[str, str]
    deaths: int = 0
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        log = (self.chancery.home / "log" / f"replica-{self.settings['CHANCERY_COMMAND_PORT']}.log").open(
            "ab"
        )
        with log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self.module,
                cwd=ROOT,
                env={**os.environ, **self.chancery.settings, **self.settings},
                stdout=log,
                stderr=log,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )

    async def until_ready(self) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        async with asyncio.timeout(READY_SECONDS):
            while not await self.is_ready():
                assert self.process is not None
                assert self.process.returncode is None, "the replica ended by itself"
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def is_ready(self) -> bool:
        return await self._is_ok("/health/ready")

    async def is_alive(self) -> bool:
        return await self._is_ok("/health/live")

    async def _is_ok(self, path: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = await self.chancery.http.get(self.chancery.command_url + path, timeout=2)
            return answer.status_code == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """Kill -9, and nobody there when it returns."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        self.deaths += 1

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            assert await asyncio.wait_for(self.process.wait(), ENDING_SECONDS) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


@asynccontextmanager
async def fleet(
    chancery: Chancery, count: int, module: Sequence[str] = PRODUCT, **settings: str
) -> AsyncIterator[list[Replica]]:
    """So many command processes with these settings, all ready."""
    replicas = []
    for _ in range(count):
        port = free_port_variables()["CHANCERY_COMMAND_PORT"]
        own = {**settings, "CHANCERY_COMMAND_PORT": port}
        side = replace(chancery, command_url=f"http://{LOOPBACK}:{port}")
        replicas.append(Replica(chancery=side, module=module, settings=own))
    try:
        for replica in replicas:
            await replica.start()
        for replica in replicas:
            await replica.until_ready()
        yield replicas
    finally:
        results = await asyncio.gather(*(one.stop() for one in replicas), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def kill_in_turn(replicas: Sequence[Replica], chance: random.Random, *, calm_seconds: float) -> None:
    """Until cancelled: kill one of them, start it again, wait until it is ready and then some time."""
    while True:
        await asyncio.sleep(chance.uniform(0.2, 1) * calm_seconds)
        victim = chance.choice(replicas)
        await victim.kill()
        await victim.start()
        await victim.until_ready()
