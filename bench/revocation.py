"""From the acknowledged revocation to the refusal by every query process, while they answer others.

`python -m bench.revocation --json` revokes fresh tokens one after the other and asks each of three query processes again
and again until it refuses. Prints one JSON object as its last line. About 2 minutes for 3,000 samples.
With `--fault` a part of the stack is killed, or stopped for a while, again and again; a 503 is a refusal then.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from redis.asyncio import Redis

from bench.blast import Question, blast
from bench.load import Tally, http_request, read_answer
from bench.tokens import FORM, basic_of, introspection, mint
from cli.admin import register_client
from localstack.ports import LOOPBACK, free_port_variables
from localstack.stack import StackInfo, running_stack, start_stack, stop_stack
from readmodels.valkey_keys import STREAM
from runtime.collector import collect_seldom
from runtime.settings import load_settings

QUERY_PROCESSES = 3
REVOKERS = 4
SAMPLES = 20_000
LOAD_CONNECTIONS = 4
LEAST_SECONDS = 120.0
"""Load that goes on for longer than there are samples to take."""
_PATIENCE_SECONDS = 20.0
FAULTS = {"valkey": signal.SIGKILL, "postgres": signal.SIGKILL, "projectors": signal.SIGSTOP}
FAULT_SECONDS = 8.0
"""Longer than a feed is believed; then the part goes on, for as long again."""


GAP, GAP_SECONDS = "gap", 0.01
"""Entries of the feed that vanish before they are read."""
Refusals = Sequence[tuple[int, bytes]]
"""Status, and how the body begins."""


class Connection:
    """One keep-alive connection to a process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection(LOOPBACK, port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        status, _, body = await read_answer(self._reader)
        return status, body


async def _until(connection: Connection, question: Question, wanted: Refusals, since: float) -> float:
    """Ask until the answer is one of these; the seconds since."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            status, body = await connection.ask(question.request)
            assert status in (200, 503), status
            if any(status == of and body.startswith(start) for of, start in wanted):
                return time.perf_counter() - since


async def _revoke_all(
    tokens: Sequence[str], basic: str, command_port: int, ports: Sequence[int], tally: Tally, more: Refusals
) -> None:
    command = await Connection.open(command_port)
    sides = [await Connection.open(port) for port in ports]
    headers = f"{FORM}authorization: {basic}\r\n"
    active, refused = [(200, b'{"active":true')], [(200, b'{"active":false'), *more]
    for token in tokens:
        question = introspection(token, basic, is_revoked=True)
        began = time.perf_counter()
        await asyncio.gather(*(_until(side, question, active, began) for side in sides))
        request = http_request("POST", "/oauth/revoke", b"token=" + token.encode(), headers)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (await command.ask(request))[0] != 200:  # noqa: PLR2004, ASYNC110  # HTTP's; the store is elsewhere
                await asyncio.sleep(0.05)  # between two tries
        acknowledged = time.perf_counter()
        tally.seconds += await asyncio.gather(
            *(_until(side, question, refused, acknowledged) for side in sides)
        )


async def _tear(redis_url: str) -> None:
    """Until cancelled: throw away the feed's entries, now and then before everybody has read them."""
    async with Redis.from_url(redis_url) as valkey:
        while True:
            await asyncio.sleep(GAP_SECONDS)  # without a gap
            await valkey.xtrim(STREAM, maxlen=0, approximate=False)


async def _disturb(home: Path, part: str) -> None:
    """Until cancelled. What was killed is started again by the stack's supervisor."""
    while True:
        await asyncio.sleep(FAULT_SECONDS)  # without a fault
        state = running_stack(home)
        pid = None if state is None else state.processes[part].pid
        if pid is None:
            continue
        os.kill(pid, FAULTS[part])
        if FAULTS[part] is signal.SIGSTOP:
            try:
                await asyncio.sleep(FAULT_SECONDS)  # with it
            finally:
                os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def query_processes(stack: StackInfo, count: int) -> AsyncIterator[list[int]]:
    """Ports of so many more query processes."""
    ports, processes = [], []
    try:
        for _ in range(count):
            own = free_port_variables("query", "grpc")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cli.main", "serve", "query"),
                env={**os.environ, **stack.settings, **own},
                stderr=asyncio.subprocess.DEVNULL,
            )
            processes.append(process)
            ports.append(int(own["CHANCERY_QUERY_PORT"]))
        await asyncio.gather(*(_until_ready(port) for port in ports))
        yield ports
    finally:
        for process in processes:
            process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


async def _until_ready(port: int) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                connection = await Connection.open(port)
                status, _ = await connection.ask(http_request("GET", "/health/ready", b"", ""))
                if status == 200:  # noqa: PLR2004  # HTTP's
                    return
            await asyncio.sleep(0.1)  # between two looks


async def measure(stack: StackInfo, samples: int, fault: str | None) -> dict[str, float]:
    os.environ.update(stack.settings)
    settings = load_settings()
    client = await register_client(settings, "bench", ("chancery.introspect",), ())
    client_id, basic = client["client_id"], basic_of(client)
    rounds = samples // QUERY_PROCESSES
    tokens = (await mint(settings, client_id, 2 * rounds + 2))[: rounds + 1]
    command_port = urlsplit(stack.command_url).port or 0
    tally = Tally()
    loaded = [introspection(tokens.pop(), basic, is_revoked=False)]
    closed: Refusals = [] if fault is None else [(503, b"")]
    async with query_processes(stack, QUERY_PROCESSES - 1) as others:
        ports = [urlsplit(stack.query_url).port or 0, *others]
        began = time.perf_counter()
        noise: list[asyncio.Task[Any]] = [
            asyncio.create_task(
                blast(port, loaded, connections=LOAD_CONNECTIONS, seconds=max(LEAST_SECONDS, samples / 50))
            )
            for port in ports
        ]
        if fault is not None:
            fault_work = _tear(stack.redis_url) if fault == GAP else _disturb(stack.home, fault)
            noise.append(asyncio.create_task(fault_work))
        work = (
            _revoke_all(tokens[first::REVOKERS], basic, command_port, ports, tally, closed)
            for first in range(REVOKERS)
        )
        await asyncio.gather(*work)
        elapsed = time.perf_counter() - began
        for task in noise:
            task.cancel()
        await asyncio.wait(noise)
    return {
        "samples": len(tally.seconds),
        "p50_ms": round(tally.quantile_ms(0.5), 1),
        "p99_ms": round(tally.quantile_ms(0.99), 1),
        "max_ms": round(tally.quantile_ms(1), 1),
        "revocations_per_second": round(len(tokens) / elapsed, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--fault", choices=sorted((GAP, *FAULTS)))
    arguments = parser.parse_args()
    collect_seldom()
    more = {"CHANCERY_ACCESS_TOKEN_SECONDS": "3600", **free_port_variables()}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = start_stack(home, {**os.environ, **more}, lifetime="caller")
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(measure(stack, arguments.samples, arguments.fault))
        finally:
            stop_stack(home)
    found["load_at_start"] = round(load, 2)
    print(json.dumps(found) if arguments.json else found)


if __name__ == "__main__":
    main()
