"""Commands over HTTP against a running stack: a small change, refresh with rotation, login.

CPU is that of the command process alone; Kafka's and PostgreSQL's are shown beside it.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from bench.load import CpuMeter, Tally, Worker, drive, http_request
from localstack.stack import StackInfo, running_stack
from runtime.passwords import PasswordPool

PASSWORD = "a sentence nobody guesses"  # noqa: S105  # of accounts that live as long as the bench
WARM_UP, SECONDS = 2.0, 8.0
REFRESHERS = 32
LOGIN_ACCOUNTS = 256
_JSON = "content-type: application/json\r\n"
_FORM = "content-type: application/x-www-form-urlencoded\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    email: str
    tokens: Mapping[str, Any]


class Renamer(Worker):
    def __init__(self, person: Person) -> None:
        self._headers = f"{_JSON}authorization: Bearer {person.tokens['access_token']}\r\n"
        self._number = 0

    def request(self) -> bytes:
        self._number += 1
        body = b'{"display_name":"Ada %d"}' % self._number
        return http_request("PATCH", "/v1/me", body, self._headers)

    def check(self, status: int, body: bytes) -> bool:
        return (status, body) == (204, b"")


class Refresher(Worker):
    """One session: each answer's refresh token makes the next request."""

    def __init__(self, person: Person) -> None:
        self._token = str(person.tokens["refresh_token"])

    def request(self) -> bytes:
        form = f"grant_type=refresh_token&refresh_token={quote(self._token)}".encode()
        return http_request("POST", "/oauth/token", form, _FORM)

    def check(self, status: int, body: bytes) -> bool:
        if status != 200:  # noqa: PLR2004  # HTTP's
            return False
        before, self._token = self._token, str(json.loads(body)["refresh_token"])
        return before != self._token


class Login(Worker):
    """Signs in one person after the other, as different people do."""

    def __init__(self, people: Sequence[Person]) -> None:
        bodies = [json.dumps({"email": one.email, "password": PASSWORD}).encode() for one in people]
        self._bodies = itertools.cycle(bodies)

    def request(self) -> bytes:
        return http_request("POST", "/v1/sessions", next(self._bodies), _JSON)

    def check(self, status: int, body: bytes) -> bool:
        return status == 201 and b'"refresh_token"' in body  # noqa: PLR2004  # HTTP's


async def new_people(url: str, count: int) -> list[Person]:
    """Accounts with a session each, by a stack whose sign-up policy is `open`."""
    turns = asyncio.Semaphore(8)
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def one(number: int) -> Person:
            async with turns:
                email = f"bench-{number}-{time.time_ns()}@example.com"
                body = {"email": email, "password": PASSWORD}
                (await http.post("/v1/accounts", json=body)).raise_for_status()
                signed_in = await http.post("/v1/sessions", json=body)
                return Person(email=email, tokens=signed_in.raise_for_status().json())

        return await asyncio.gather(*(one(number) for number in range(count)))


async def measure_commands(stack: StackInfo) -> dict[str, dict[str, float]]:
    meter = CpuMeter(_pids(stack.home))
    port = urlsplit(stack.command_url).port or 0
    people = await new_people(stack.command_url, LOGIN_ACCOUNTS)
    rows: dict[str, dict[str, float]] = {}
    for name, workers in (
        ("http_1", [Renamer(people[0])]),
        ("http_16", [Renamer(one) for one in people[:16]]),
        ("http_256", [Renamer(people[number % len(people)]) for number in range(256)]),
        ("refresh", [Refresher(one) for one in people[:REFRESHERS]]),
        ("login", [Login(people[first::16]) for first in range(16)]),
    ):
        await drive(port, list(workers), warm_up=0, seconds=WARM_UP)
        meter.used()
        tally = await drive(port, list(workers), warm_up=0, seconds=SECONDS)
        rows[name] = _row(tally, meter.used())
        print({"over_http": name, **rows[name]}, flush=True)
    return rows


def _row(tally: Tally, cpu: Mapping[str, float]) -> dict[str, float]:
    return {
        "per_second": round(tally.per_second, 1),
        "p50_ms": round(tally.quantile_ms(0.5), 2),
        "p99_ms": round(tally.quantile_ms(0.99), 2),
        "per_cpu_second": round(len(tally.seconds) / cpu["command"], 1),
        "cpu_share": round(cpu["command"] / tally.elapsed, 2),
        "kafka_cpu_share": round(cpu["kafka"] / tally.elapsed, 2),
        "wrong": tally.wrong,
    }


def _pids(home: Path) -> dict[str, int]:
    state = running_stack(home)
    assert state is not None
    named = {name: state.processes[name].pid for name in ("command", "kafka")}
    return {name: pid for name, pid in named.items() if pid is not None}


def argon2_bound(seconds: float = 6.0) -> dict[str, float]:
    """Bare Argon2id verifications with the same parameters and as many threads as a command process has."""
    pool = PasswordPool(threads=1, queue=1)
    stored = asyncio.run(pool.hash(PASSWORD))
    pool.close()
    verify = pool._verify  # noqa: SLF001  # the very work, without the pool
    until = time.perf_counter() + seconds

    def work() -> int:
        count = 0
        while time.perf_counter() < until:
            count += verify(stored, PASSWORD)
        return count

    cpu = time.process_time()
    with ThreadPoolExecutor(2) as threads:
        count = sum(one.result() for one in [threads.submit(work) for _ in range(2)])
    return {
        "per_second": round(count / seconds, 1),
        "per_cpu_second": round(count / (time.process_time() - cpu), 1),
    }
