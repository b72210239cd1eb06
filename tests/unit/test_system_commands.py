"""Commands of workers: which answers are final, which are worth another try, and for how long."""

import asyncio
import time

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from projectors.system_commands import CommandApi, CommandRefusedError, CommandUnansweredError
from runtime.serving.answers import HttpAnswer, empty_answer, problem
from runtime.serving.forwarded import SYSTEM, Sender
from runtime.serving.server import Listener, bind, serve_all
from tests.support.command_server import KEY, Server, served

BOUNCE = {"account_id": "a", "message_id": "<m@example.com>", "kind": "verification"}


@pytest.mark.parametrize(
    "passing",
    [
        problem(503, "unavailable", "Later."),
        problem(503, "outcome-unknown", "Again."),
        problem(403, "not-a-worker", "Our clocks differ."),
        problem(404, "not-found", "An older Command API has no such path."),
        problem(500, "internal-error", "A bug."),
        HttpAnswer(status=404, body=b"a gateway's page"),
        HttpAnswer(status=422, body=b"[]"),
        HttpAnswer(status=409, body=b'{"type": 3}'),
    ],
)
async def test_what_may_pass_is_tried_again_under_the_same_key(passing: HttpAnswer) -> None:
    server = Server([passing, passing, empty_answer(204)])
    async with served(server) as api:
        await api.report_mail_bounced(**BOUNCE)
    assert len(server.keys) == 3
    assert len(set(server.keys)) == len(set(server.bodies)) == 1


async def test_another_command_has_another_key() -> None:
    server = Server([empty_answer(204)])
    async with served(server) as api:
        await api.report_mail_bounced(**BOUNCE)
        await api.report_mail_bounced(**{**BOUNCE, "message_id": "<n@example.com>"})
        await api.give("other-things", {}, key=f"{BOUNCE['account_id']} {BOUNCE['message_id']}")
    assert len(set(server.keys)) == 3


@pytest.mark.parametrize(("status", "code"), [(404, "account-not-found"), (409, "x"), (422, "y")])
async def test_a_refusal_is_final(status: int, code: str) -> None:
    server = Server([problem(status, code, "No.")])
    async with served(server) as api:
        with pytest.raises(CommandRefusedError) as refused:
            await api.report_mail_bounced(**BOUNCE)
    assert (refused.value.code, len(server.keys)) == (code, 1)


async def test_after_a_bounded_time_the_worker_is_told_that_nobody_knows() -> None:
    server = Server([problem(503, "unavailable", "Later.")])
    began = time.monotonic()
    async with served(server, patience_seconds=1) as api:
        with pytest.raises(CommandUnansweredError):
            await api.report_mail_bounced(**BOUNCE)
    assert time.monotonic() - began < 3
    assert len(server.keys) > 1


async def test_nobody_there_is_the_same() -> None:
    gone = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    gone.close()
    api = CommandApi(Sender(KEY, None, SYSTEM), url, "risk", 0.5)
    with pytest.raises(CommandUnansweredError):
        await api.report_mail_bounced(**BOUNCE)
    await api.close()


async def test_a_server_that_says_nothing_does_not_hold_the_worker() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(20)
        await Response(status_code=204)(scope, receive, send)

    listener = Listener(app=silent, socket=bind("127.0.0.1", 0))
    serving = asyncio.create_task(serve_all([listener]))
    api = CommandApi(Sender(KEY, None, SYSTEM), f"http://127.0.0.1:{listener.port}", "risk", 0.5)
    began = time.monotonic()
    with pytest.raises(CommandUnansweredError):
        await api.report_mail_bounced(**BOUNCE)
    assert time.monotonic() - began < 3
    await api.close()
    serving.cancel()
    await asyncio.wait([serving])
