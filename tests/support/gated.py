"""A query process of its own on a running stack, whose stores a test can take away and give back."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx

from localstack.ports import LOOPBACK, free_port_variables
from tests.support.chancery import Chancery, Person, until_ready
from tests.support.command_line import ended, start
from tests.support.gate import Gate, gate_before

INTROSPECT = ("POST", "/oauth/introspect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """The same platform, asked through a query process that reaches its stores through gates."""

    chancery: Chancery
    postgres: Gate
    valkey: Gate
    pid: int

    async def metric(self, name: str) -> float:
        text = (await self.chancery.query("GET", "/metrics")).text
        return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])

    async def is_unknown(self, person: Person) -> bool:
        answer = await self.introspect(person)
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 503

    async def introspect(self, person: Person, kind: str = "access_token") -> httpx.Response:
        data = {"token": person.tokens[kind]}
        return await self.chancery.query(*INTROSPECT, auth=self.chancery.basic, data=data)


@contextlib.asynccontextmanager
async def open_gated(chancery: Chancery) -> AsyncIterator[Gated]:
    ports = free_port_variables("query", "grpc")
    url = f"http://{LOOPBACK}:{ports['CHANCERY_QUERY_PORT']}"
    async with contextlib.AsyncExitStack() as gates:
        postgres = await gates.enter_async_context(gate_before(chancery.settings["CHANCERY_POSTGRES_DSN"]))
        valkey = await gates.enter_async_context(gate_before(chancery.settings["CHANCERY_REDIS_URL"]))
        own = {
            **ports,
            "CHANCERY_POSTGRES_DSN": postgres.url(chancery.settings["CHANCERY_POSTGRES_DSN"]),
            "CHANCERY_REDIS_URL": valkey.url(chancery.settings["CHANCERY_REDIS_URL"]),
        }
        process = await start("serve", "query", settings={**chancery.settings, **own})
        try:
            await until_ready(chancery.http, url)
            side = replace(chancery, query_url=url, settings={**chancery.settings, **own})
            yield Gated(chancery=side, postgres=postgres, valkey=valkey, pid=process.pid)
        finally:
            process.terminate()
            assert (await ended(process)).code == 0
