"""Two processes of a kind behind Traefik, replaced one after the other as Kubernetes does it, under steady questions.

Taken out of the proxy, a pause (the pods' `preStop`), SIGTERM, its end, another at the same address, ready, put in again.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from localstack.child import ends_with_parent
from localstack.ports import LOOPBACK, free_port_variables, free_ports
from tests.support.chancery import Chancery, until_ready

Kind = Literal["command", "query"]
KINDS: Sequence[Kind] = ("command", "query")
PAUSE_SECONDS = 1.0
BREATH_SECONDS = 0.02
ENDING_SECONDS = 20.0
Ask = Callable[[httpx.AsyncClient], Coroutine[Any, Any, httpx.Response]]


@dataclass(slots=True, kw_only=True)
class Member:
    """One process, always at the same address."""

    chancery: Chancery
    kind: Kind
    settings: Mapping[str, str]
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.settings[f'CHANCERY_{self.kind.upper()}_PORT']}"

    async def start(self) -> None:
        log = self.chancery.home / "log" / f"rolling-{self.kind}.log"
        with log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cli.main", "serve", self.kind),
                env={**os.environ, **self.chancery.settings, **self.settings},
                stdout=output,
                stderr=output,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )
        await until_ready(self.chancery.http, f"http://{self.address}")

    async def end(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), ENDING_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    home: Path
    urls: Mapping[Kind, str]
    upstreams: dict[Kind, Sequence[Member]]

    def send_to(self, kind: Kind, members: Sequence[Member]) -> None:
        """Soon, to these alone."""
        self.upstreams[kind] = members
        services = {
            name: {"loadBalancer": {"servers": [{"url": f"http://{one.address}"} for one in there]}}
            for name, there in self.upstreams.items()
        }
        routers = {
            name: {"rule": "PathPrefix(`/`)", "service": name, "entryPoints": [name]} for name in services
        }
        draft = self.home / "draft"
        draft.write_text(json.dumps({"http": {"routers": routers, "services": services}}))
        draft.replace(self.home / "dynamic" / "chancery.yml")


@dataclass(slots=True)
class Asking:
    """How often what was answered, and how often nothing; each question on a connection of its own."""

    answers: Counter[str] = field(default_factory=Counter)

    async def go_on(self, ask: Ask) -> None:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=0)) as http:
            while True:
                try:
                    answer = await ask(http)
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                else:
                    self.answers[str(answer.status_code)] += 1
                await asyncio.sleep(
                    BREATH_SECONDS
                )  # steady questions, and no flood: processes start beside them


@asynccontextmanager
async def members(chancery: Chancery, kind: Kind, count: int) -> AsyncIterator[list[Member]]:
    found = [
        Member(chancery=chancery, kind=kind, settings=free_port_variables(kind, "grpc")) for _ in range(count)
    ]
    try:
        await asyncio.gather(*(one.start() for one in found))
        yield found
    finally:
        await asyncio.gather(*(one.end() for one in found if one.process is not None))


@asynccontextmanager
async def proxied(home: Path, upstreams: Mapping[Kind, Sequence[Member]]) -> AsyncIterator[Proxy]:
    ports = dict(zip(KINDS, free_ports(len(KINDS)), strict=True))
    urls = {kind: f"http://{LOOPBACK}:{port}" for kind, port in ports.items()}
    (home / "dynamic").mkdir()
    proxy = Proxy(home=home, urls=urls, upstreams=dict(upstreams))
    for kind, there in upstreams.items():
        proxy.send_to(kind, there)
    (home / "traefik.yml").write_text(json.dumps(_configuration(home, ports)))
    with (home / "log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "traefik"), "--configFile=traefik.yml"),
            cwd=home,
            stdout=output,
            stderr=output,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
    try:
        async with httpx.AsyncClient() as http:
            await asyncio.gather(*(until_ready(http, url) for url in urls.values()))
        yield proxy
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def replace_in_turn(
    proxy: Proxy, fleet: Sequence[Member], *, taken_out_first: Literal["yes", "no"]
) -> None:
    for member in fleet:
        if taken_out_first == "yes":
            proxy.send_to(member.kind, [one for one in fleet if one is not member])
            await asyncio.sleep(
                PAUSE_SECONDS
            )  # as `preStop` has it: the proxy hears of it, what is under way arrives
        assert await member.end() == 0
        await member.start()
        proxy.send_to(member.kind, fleet)


def _configuration(home: Path, ports: Mapping[Kind, int]) -> Mapping[str, Any]:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {kind: {"address": f"{LOOPBACK}:{port}"} for kind, port in ports.items()},
        "providers": {
            "providersThrottleDuration": "50ms",
            "file": {"directory": str(home / "dynamic"), "watch": True},
        },
    }
