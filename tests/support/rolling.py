"""Two processes of a kind behind Caddy, replaced one after the other as Kubernetes does it, under steady questions.

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
from tests.support.tasks import eventually

Kind = Literal["command", "query"]
KINDS: Sequence[Kind] = ("command", "query")
PAUSE_SECONDS = 0.3
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
    http: httpx.AsyncClient
    admin: str
    urls: Mapping[Kind, str]

    async def send_to(self, kind: Kind, members: Sequence[Member]) -> None:
        """From now on, to these alone."""
        path = f"{self.admin}/config/apps/http/servers/{kind}/routes/0/handle/0/upstreams"
        answer = await self.http.patch(path, json=[{"dial": one.address} for one in members])
        assert answer.status_code == 200, answer.text


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
async def proxied(
    chancery: Chancery, home: Path, upstreams: Mapping[Kind, Sequence[Member]]
) -> AsyncIterator[Proxy]:
    admin, *ports = free_ports(1 + len(KINDS))
    (home / "caddy.json").write_text(json.dumps(_configuration(admin, dict(zip(KINDS, ports, strict=True)))))
    with (home / "log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "caddy"), "run", "--config", "caddy.json"),
            cwd=home,
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)},
            stdout=output,
            stderr=output,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
    proxy = Proxy(
        http=chancery.http,
        admin=f"http://{LOOPBACK}:{admin}",
        urls={kind: f"http://{LOOPBACK}:{port}" for kind, port in zip(KINDS, ports, strict=True)},
    )
    try:
        await eventually(lambda: _listens(admin))
        for kind, there in upstreams.items():
            await proxy.send_to(kind, there)
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
            await proxy.send_to(member.kind, [one for one in fleet if one is not member])
            await asyncio.sleep(PAUSE_SECONDS)  # as `preStop` has it: what is under way to it arrives
        assert await member.end() == 0
        await member.start()
        await proxy.send_to(member.kind, fleet)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _configuration(admin: int, ports: Mapping[Kind, int]) -> Mapping[str, Any]:
    servers = {
        kind: {
            "listen": [f"{LOOPBACK}:{port}"],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [{"handler": "reverse_proxy", "upstreams": []}]}],
        }
        for kind, port in ports.items()
    }
    return {
        "admin": {"listen": f"{LOOPBACK}:{admin}", "config": {"persist": False}},
        "apps": {"http": {"servers": servers}},
    }
