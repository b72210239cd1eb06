"""Processes are replaced one by one behind a real proxy, and nobody notices: no request fails, and the proxy repeats none."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
import pytest

from localstack.ports import LOOPBACK, free_ports
from tests.e2e.conftest import command_process
from tests.support.chancery import Chancery, Person
from tests.support.tasks import eventually

LEAVE_SECONDS = 2.5
LOOK_MILLISECONDS, LOOKS = 200, 3
"""So often the proxy asks each process whether it is ready, and believes it after so many refusals."""
LANES = 4
MANY = 100
Name = Literal["command", "query"]
NAMES: tuple[Name, ...] = ("command", "query")


@asynccontextmanager
async def proxy(folder: Path, port: int, backends: list[int]) -> AsyncIterator[None]:
    """Caddy, to whoever is ready and has least to do. It tries nothing twice. Its `round_robin` may pick who is gone."""
    addresses = " ".join(f"{LOOPBACK}:{backend}" for backend in backends)
    file = folder / f"Caddyfile-{port}"
    file.write_text(
        f"""{{
    admin off
    auto_https off
}}
http://{LOOPBACK}:{port} {{
    reverse_proxy {addresses} {{
        lb_policy least_conn
        health_uri /health/ready
        health_interval {LOOK_MILLISECONDS}ms
        health_fails {LOOKS}
    }}
}}
"""
    )
    with (folder / f"caddy-{port}.log").open("wb") as log:
        program = str(Path(sys.executable).parent / "caddy")
        arguments = ("run", "--adapter", "caddyfile", "--config", str(file))
        process = await asyncio.create_subprocess_exec(program, *arguments, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@dataclass(slots=True)
class Pair:
    """Two processes of a kind, and how they are replaced."""

    chancery: Chancery
    name: Name
    ports: list[int]
    running: dict[int, tuple[AsyncExitStack, asyncio.subprocess.Process]]

    async def start(self, port: int) -> None:
        stack = AsyncExitStack()
        more = {
            f"CHANCERY_{self.name.upper()}_PORT": str(port),
            "CHANCERY_LEAVE_SECONDS": str(LEAVE_SECONDS),
        }
        _, process = await stack.enter_async_context(command_process(self.chancery, more, self.name))
        self.running[port] = stack, process

    async def replace_each(self) -> None:
        for port in self.ports:
            stack, process = self.running[port]
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), LEAVE_SECONDS + 12) == 0
            await stack.aclose()
            await self.start(port)
            await eventually(partial(self._is_used, port), within_seconds=20)

    async def _is_used(self, port: int) -> bool:
        """Whether the proxy sends it what it sends to both."""
        text = (await self.chancery.http.get(f"http://{LOOPBACK}:{port}/metrics")).text
        return 'route="/v1/me"' in text

    async def close(self) -> None:
        for stack, _ in self.running.values():
            await stack.aclose()


@pytest.fixture
async def site(chancery: Chancery, tmp_path: Path) -> AsyncIterator[tuple[Chancery, list[Pair]]]:
    """The platform as clients see it through the proxies, and the pairs behind them."""
    pairs: list[Pair] = []
    async with AsyncExitStack() as stack:
        side = chancery
        for name in NAMES:
            front, *ports = free_ports(3)
            pair = Pair(chancery, name, ports, {})
            stack.push_async_callback(pair.close)
            for port in ports:
                await pair.start(port)
            await stack.enter_async_context(proxy(tmp_path, front, ports))
            url = f"http://{LOOPBACK}:{front}"
            side = replace(side, command_url=url) if name == "command" else replace(side, query_url=url)
            await eventually(partial(answers, chancery.http, url))
            pairs.append(pair)
        yield side, pairs


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url + "/health/live")).status_code == 200
    except httpx.TransportError:
        return False


async def one_life(side: Chancery, person: Person, number: int) -> list[httpx.Response]:
    """A write and three reads."""
    body = {"display_name": f"name {number}"}
    token = person.tokens["access_token"]
    checked = await side.query("POST", "/oauth/introspect", auth=side.basic, data={"token": token})
    assert not checked.is_success or checked.json()["active"]
    return [
        await side.query("GET", "/v1/me", headers=person.bearer),
        await side.command("PATCH", "/v1/me", json=body, headers=person.bearer),
        await side.query("GET", "/v1/forward-auth", headers=person.bearer),
        checked,
    ]


async def test_a_rolling_restart_loses_no_request(site: tuple[Chancery, list[Pair]]) -> None:
    side, pairs = site
    over = asyncio.Event()
    answered, lost = 0, []

    async def lane() -> None:
        nonlocal answered
        person, number = await side.new_person(), 0
        while not over.is_set():
            for answer in await one_life(side, person, number):
                answered += 1
                if not answer.is_success:
                    lost.append(
                        f"{answer.request.url.path}: {answer.status_code} {answer.text} {answer.headers}"
                    )
            number += 1

    lanes = [asyncio.create_task(lane()) for _ in range(LANES)]
    try:
        await asyncio.gather(*(pair.replace_each() for pair in pairs))
    finally:
        over.set()
        await asyncio.gather(*lanes)
    assert not lost
    assert answered > MANY, "there was hardly anything to lose"
