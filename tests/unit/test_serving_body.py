"""Bodies are read whole and bounded before an application sees them; what is no request passes untouched."""

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from runtime.metrics import HTTP_REQUEST_SECONDS
from runtime.serving.body import MAX_BODY_BYTES, BoundedBody
from runtime.serving.observe import Observe

GONE = {"type": "http.disconnect"}


class Echo:
    """An application that remembers its calls and answers with the body it got."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] != "http":
            return
        self.messages = [await receive(), await receive()]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.messages[0]["body"]})


def http_scope(path: str = "/v1/things") -> Scope:
    return {"type": "http", "method": "POST", "path": path, "headers": []}


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def told(app: Any, scope: Scope, *arriving: Message) -> list[Message]:
    """What an application sends when these messages arrive, and no more after them."""
    pending, sent = list(arriving), []

    async def receive() -> Message:
        if not pending:
            await asyncio.Event().wait()
        return pending.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return sent


async def test_a_body_in_parts_arrives_as_one_and_then_the_client_can_still_go() -> None:
    app = Echo()
    arriving = [part(b"a", more=True), {"type": "http.request", "more_body": True}, part(b"b"), GONE]
    sent = await told(BoundedBody(app, {}), http_scope(), *arriving)
    assert [message.get("body") for message in sent] == [None, b"ab"]
    assert app.messages == [part(b"ab"), GONE]


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    app = Echo()
    body = b"x" * MAX_BODY_BYTES
    await told(BoundedBody(app, {}), http_scope(), part(body[:-1], more=True), part(body[-1:]), GONE)
    assert app.messages[0] == part(body)


@pytest.mark.parametrize("path", ["/v1/things", "/oauth/token"])
async def test_a_body_over_the_limit_is_413_without_waiting_for_its_end(path: str) -> None:
    app = Echo()
    start, body = await told(
        BoundedBody(app, {}), http_scope(path), part(b"x" * (MAX_BODY_BYTES + 1), more=True)
    )
    title = "The request body is larger than 65536 bytes."
    shape: dict[str, object] = {"type": "urn:chancery:problem:body-too-large", "title": title, "status": 413}
    if path.startswith("/oauth/"):
        shape = {"error": "invalid_request", "error_description": title}
    assert (start["status"], json.loads(body["body"])) == (413, shape)
    assert (b"connection", b"close") in start["headers"]
    assert app.scopes == []


async def test_a_client_that_goes_away_before_its_body_came_gets_nothing_done() -> None:
    app = Echo()
    assert await told(BoundedBody(app, {}), http_scope(), part(b"half", more=True), GONE) == []
    assert app.scopes == []


async def test_a_client_that_goes_away_is_counted_as_such_and_not_as_a_fault_of_ours() -> None:
    registry = CollectorRegistry()
    observed = Observe(BoundedBody(Echo(), {}), HTTP_REQUEST_SECONDS.made(registry))
    await told(observed, http_scope(), part(b"half", more=True), GONE)
    assert counted(registry) == {"499": 1}


async def test_an_application_that_breaks_before_it_answers_is_a_fault_of_ours() -> None:
    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError

    registry = CollectorRegistry()
    with pytest.raises(RuntimeError):
        await told(Observe(broken, HTTP_REQUEST_SECONDS.made(registry)), http_scope())
    assert counted(registry) == {"500": 1}


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """How many requests were answered, by status."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {one.labels["status"]: one.value for one in samples if one.name.endswith("_count")}


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_http_request_passes_untouched(kind: str) -> None:
    app = Echo()
    scope = {"type": kind}
    assert await told(BoundedBody(app, {}), scope) == []
    assert await told(Observe(app, HTTP_REQUEST_SECONDS.made(CollectorRegistry())), scope) == []
    assert app.scopes == [{"type": kind}] * 2
