"""More requests than are taken on at once, on a real server: some wait for their store, the rest are told at once."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from bench.load import http_request, read_answer
from localstack.ports import LOOPBACK
from runtime.serving.app import Vitals, new_app
from runtime.serving.server import BoundedRequest, bind
from runtime.serving.shedding import MOST_RESTING_OF_ONE_PLACE, WorkBound, resting
from tests.support.tasks import eventually

MOST = 5
CALLERS = 40
MOST_SECONDS = 10.0


@dataclass(slots=True)
class Served:
    """An application whose long answers wait until somebody lets them go."""

    app: FastAPI
    registry: CollectorRegistry
    port: int = 0
    may_go: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    most_waiting: int = 0

    async def wait(self) -> dict[str, str]:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.may_go.wait()
        self.waiting -= 1
        return {}

    async def rest(self, request: Request) -> dict[str, str]:
        async with resting(request.scope):
            return await self.wait()

    async def get(self, path: str) -> tuple[int, bytes, bytes]:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        with contextlib.closing(writer):
            writer.write(http_request("GET", path, b"", ""))
            async with asyncio.timeout(MOST_SECONDS):
                return await read_answer(reader)

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@contextlib.asynccontextmanager
async def served(bound: WorkBound | None) -> AsyncIterator[Served]:
    registry = CollectorRegistry()
    app = new_app("Slow", Vitals(process="test", failing=dict, registry=registry, work=bound))
    slow = Served(app=app, registry=registry)
    for path in ("/v1/slow", "/oauth/slow", "/at-hand"):
        app.add_api_route(path, slow.wait if "slow" in path else at_hand)
    app.add_api_route("/v1/resting", slow.rest)
    config = uvicorn.Config(app, http=BoundedRequest, lifespan="off", log_config=None)
    config.load()
    listening = bind(LOOPBACK, 0)
    slow.port = listening.getsockname()[1]
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedRequest(config, state, {}), sock=listening
    )
    async with server:
        yield slow
        slow.may_go.set()
        await eventually(lambda: is_idle(state))


async def is_idle(state: ServerState) -> bool:
    return not state.tasks


async def at_hand() -> dict[str, str]:
    return {}


async def test_who_would_be_one_too_many_is_told_so_at_once() -> None:
    async with served(WorkBound(most=MOST, spared=frozenset({"/at-hand"}))) as slow:
        first = [asyncio.create_task(slow.get("/v1/slow")) for _ in range(MOST)]
        await eventually(lambda: is_full(slow))
        began = time.monotonic()
        status, head, body = await slow.get("/v1/slow")
        assert time.monotonic() - began < 1
        assert (status, json.loads(body)["type"]) == (503, "urn:chancery:problem:overloaded")
        assert b"retry-after: 1" in head.lower()
        assert b"application/problem+json" in head
        status, head, body = await slow.get("/oauth/slow")
        assert (status, json.loads(body)["error"]) == (503, "temporarily_unavailable")
        assert b"retry-after: 1" in head.lower()
        for path in ("/health/live", "/health/ready", "/metrics", "/at-hand"):
            assert (await slow.get(path))[0] == 200
        assert slow.value("chancery_requests_shed_total") == 2
        assert slow.value("chancery_requests_in_work") == MOST
        slow.may_go.set()
        assert [(await one)[0] for one in first] == [200] * MOST
        assert slow.value("chancery_requests_in_work") == 0
        assert (await slow.get("/v1/slow"))[0] == 200


async def test_who_waits_for_news_holds_no_place_and_has_a_bound_of_its_own() -> None:
    most = MOST * MOST_RESTING_OF_ONE_PLACE
    async with served(WorkBound(most=MOST)) as slow:
        waiting = [asyncio.create_task(slow.get("/v1/resting")) for _ in range(most)]
        await eventually(lambda: are_waiting(slow, most))
        assert slow.value("chancery_requests_in_work") == 0
        assert (await slow.get("/at-hand"))[0] == 200
        status, _, body = await slow.get("/v1/resting")
        assert (status, json.loads(body)["type"]) == (503, "urn:chancery:problem:overloaded")
        slow.may_go.set()
        assert [(await one)[0] for one in waiting] == [200] * most
        assert slow.value("chancery_requests_in_work") == 0
        assert (await slow.get("/v1/resting"))[0] == 200


async def are_waiting(slow: Served, count: int) -> bool:
    return slow.waiting == count


async def is_full(slow: Served) -> bool:
    return slow.waiting == MOST


@pytest.mark.parametrize(
    ("bound", "taken"), [(WorkBound(most=MOST), MOST), (None, CALLERS)], ids=["bounded", "without"]
)
async def test_only_the_bound_keeps_a_flood_out(bound: WorkBound | None, taken: int) -> None:
    async with served(bound) as slow:
        asking = [asyncio.create_task(slow.get("/v1/slow")) for _ in range(CALLERS)]
        await eventually(lambda: are_settled(slow, asking))
        assert slow.most_waiting == taken
        slow.may_go.set()
        assert Counter([(await one)[0] for one in asking]) == Counter({200: taken, 503: CALLERS - taken})


async def are_settled(slow: Served, asking: list[asyncio.Task[tuple[int, bytes, bytes]]]) -> bool:
    return slow.waiting + sum(one.done() for one in asking) == CALLERS


async def test_a_body_that_is_still_to_come_holds_no_place() -> None:
    async with served(WorkBound(most=1)) as slow:
        _, writer = await asyncio.open_connection(LOOPBACK, slow.port)
        writer.write(b"POST /v1/slow HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf")
        await writer.drain()
        slow.may_go.set()
        assert (await slow.get("/v1/slow"))[0] == 200
        writer.close()
        assert slow.value("chancery_requests_in_work") == 0
