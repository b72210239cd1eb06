"""A real Prometheus that watches processes: the one on PATH, else Debian's, fetched without installing it."""

import asyncio
import functools
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from localstack.child import ends_with_parent
from localstack.ports import free_ports
from tests.support.tasks import eventually

ROOT = Path(__file__).parent.parent.parent
FETCHED = ROOT / "build" / "prometheus"
SCRAPE_SECONDS = 1
Sample = tuple[Mapping[str, str], float]


@functools.cache
def binary(name: str) -> Path:
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    fetched = FETCHED / "usr" / "bin" / name
    if not fetched.exists():
        _fetch()
    return fetched


def _fetch() -> None:
    """`apt-get download` needs no rights but a list of packages, which a fresh machine may not have yet."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "-q", "download", "prometheus"]
    if _run(download).returncode != 0:
        _run(["apt-get", "-q", "update"])
        done = _run(download)
        assert done.returncode == 0, f"put prometheus and promtool on PATH; apt-get says: {done.stderr}"
    (package,) = FETCHED.glob("prometheus_*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(FETCHED)], check=True, timeout=60)
    package.unlink()


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=FETCHED, capture_output=True, text=True, timeout=120, check=False)


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [binary("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    url: str
    http: httpx.AsyncClient
    targets: int

    async def ask(self, expr: str) -> list[Sample]:
        """The labels and value of each series now."""
        answer = await self.http.get(f"{self.url}/api/v1/query", params={"query": expr})
        assert answer.status_code == 200, answer.text
        result = answer.json()["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]

    async def until_scraped(self) -> None:
        """Until every target was scraped after now, twice, so that there are rates."""
        began = time.time()

        async def are_scraped() -> bool:
            fresh = await self.ask(f"timestamp(up) > {began + SCRAPE_SECONDS}")
            return len(fresh) == self.targets

        await eventually(are_scraped, within_seconds=20)


@asynccontextmanager
async def open_prometheus(
    folder: Path, targets: Sequence[str], http: httpx.AsyncClient
) -> AsyncIterator[Prometheus]:
    (port,) = free_ports(1)
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [{"job_name": "chancery", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=log,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
    opened = Prometheus(url=f"http://127.0.0.1:{port}", http=http, targets=len(targets))

    async def is_ready() -> bool:
        try:
            return (await http.get(f"{opened.url}/-/ready")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(is_ready, within_seconds=30)
        yield opened
    finally:
        process.terminate()
        await process.wait()
