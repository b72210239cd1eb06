"""Several query processes on one port: calls go to all of them, and one that dies takes nothing else along."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import httpx
import pytest

from localstack.ports import LOOPBACK, free_port_variables, free_ports
from tests.e2e.conftest import command_process
from tests.support.chancery import Chancery, Person, until_ready
from tests.support.command_line import ended, start
from tests.support.rpc import asking
from tests.support.tasks import eventually

PATH = "/v1/forward-auth"


@dataclass(frozen=True, slots=True)
class Fellow:
    """One of the processes, at the port of its own."""

    http: httpx.AsyncClient
    url: str
    process: asyncio.subprocess.Process

    async def answered(self, line: str) -> float:
        """What its metrics count so far in this line."""
        metrics = (await self.http.get(f"{self.url}/metrics")).text
        return float(metrics.partition(line)[2].split()[0]) if line in metrics else 0.0


@contextlib.asynccontextmanager
async def fellows(chancery: Chancery, count: int) -> AsyncIterator[tuple[Chancery, list[Fellow]]]:
    """The processes, and Chancery at the port that they share."""
    shared = {**free_port_variables("query", "grpc"), "CHANCERY_QUERY_PORTS": "shared"}
    found = []
    async with contextlib.AsyncExitStack() as stack:
        for port in free_ports(count):
            own = {**shared, "CHANCERY_QUERY_OWN_PORT": str(port)}
            _, process = await stack.enter_async_context(command_process(chancery, own, "query"))
            found.append(Fellow(chancery.http, f"http://{LOOPBACK}:{port}", process))
        url = f"http://{LOOPBACK}:{shared['CHANCERY_QUERY_PORT']}"
        yield replace(chancery, query_url=url, settings={**chancery.settings, **shared}), found


async def forward_auth(side: Chancery, person: Person) -> int:
    """On a connection of its own."""
    async with httpx.AsyncClient(timeout=20) as http:
        return (await http.get(side.query_url + PATH, headers=person.bearer)).status_code


async def test_they_share_the_calls_and_the_rest_goes_on_without_one(chancery: Chancery) -> None:
    person = await chancery.new_person()
    async with fellows(chancery, 2) as (side, both):
        await asyncio.gather(*(until_ready(chancery.http, fellow.url) for fellow in both))
        over_http = f'chancery_http_request_seconds_count{{method="GET",route="{PATH}",status="200"}}'
        over_grpc = (
            'chancery_grpc_call_seconds_count{method="/chancery.v1.TokenService/Validate",status="OK"}'
        )
        assert [await forward_auth(side, person) for _ in range(40)] == [200] * 40
        for number in range(30):
            # Each channel a connection: equal ones would share one.
            async with asking(side, options=(("number", number),)) as caller:
                assert (await caller.validate(person.tokens["access_token"])).active
        for line, count in ((over_http, 40), (over_grpc, 30)):
            shares = [await fellow.answered(line) for fellow in both]
            assert sum(shares) == count
            assert min(shares) > 0
        both[0].process.kill()
        await both[0].process.wait()
        assert [await forward_auth(side, person) for _ in range(20)] == [200] * 20
        assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204
        await eventually(lambda: is_refused(side, person), within_seconds=2)


async def is_refused(side: Chancery, person: Person) -> bool:
    return await forward_auth(side, person) == 401


@pytest.mark.parametrize("taken", ["query", "grpc"])
async def test_a_port_is_not_shared_by_mistake(chancery: Chancery, taken: str) -> None:
    own: Mapping[str, str] = {
        **free_port_variables("query", "grpc"),
        f"CHANCERY_{taken.upper()}_PORT": chancery.settings[f"CHANCERY_{taken.upper()}_PORT"],
    }
    ending = await ended(await start("serve", "query", settings={**chancery.settings, **own}))
    assert ending.code != 0
    sentence = {"query": "Address already in use", "grpc": "choose with CHANCERY_GRPC_PORT"}[taken]
    assert sentence in ending.err
