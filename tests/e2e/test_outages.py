"""Stores that hang: what can still be proven is answered, what cannot is 503, and all of it heals by itself."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from bench.load import http_request, read_answer
from localstack.ports import LOOPBACK
from localstack.stack import running_stack
from query_api.app import MOST_IN_WORK, POSTGRES_SECONDS
from tests.support.admins import token_of
from tests.support.broker import Broker
from tests.support.chancery import PASSWORD, Chancery, Person, bearer, new_email, problem_code, until_ready
from tests.support.gated import Gated, open_gated
from tests.support.rpc import asking
from tests.support.tasks import eventually, running

FLOOD = 1000
CALLERS = 62
AT_ONCE_SECONDS = POSTGRES_SECONDS / 4
MOST_TASKS = 3 * MOST_IN_WORK
MOST_GROWTH_KB = 64 * 1024


@pytest.fixture
async def gated(chancery: Chancery) -> AsyncIterator[Gated]:
    async with open_gated(chancery) as opened:
        yield opened


async def test_one_store_that_hangs_changes_no_verdict(gated: Gated) -> None:
    chancery = gated.chancery
    person, gone = await chancery.new_person(), await chancery.new_person()
    assert (await chancery.command("DELETE", "/v1/sessions", headers=gone.bearer)).status_code == 204
    await chancery.until_inactive(gone.tokens["access_token"])
    gated.valkey.shut()
    for kind in ("access_token", "refresh_token"):
        live, dead = await gated.introspect(person, kind), await gated.introspect(gone, kind)
        assert (live.status_code, live.json()["active"]) == (200, True), live.text
        assert (dead.status_code, dead.json()) == (200, {"active": False})
    gated.valkey.open()
    await until_ready(chancery.http, chancery.query_url)
    gated.postgres.shut()
    await eventually(lambda: lets_in(chancery, person), within_seconds=10)
    assert not await lets_in(chancery, gone)


async def lets_in(chancery: Chancery, person: Person) -> bool:
    """Forward-auth asks no tables as long as Valkey can tell; Valkey is not asked for a moment after it hung."""
    answer = await chancery.query("GET", "/v1/forward-auth", headers=person.bearer)
    assert answer.status_code in (200, 401, 503), answer.text
    return answer.status_code == 200


async def test_abuse_k5_without_any_store_nothing_is_called_active_and_then_it_heals(gated: Gated) -> None:
    chancery = gated.chancery
    person = await chancery.new_person()
    bearing = ("authorization", "Bearer " + await token_of(chancery, dict(chancery.client)))
    gated.valkey.shut()
    gated.postgres.shut()
    await eventually(lambda: gated.is_unknown(person), within_seconds=15)
    unknown = await gated.introspect(person)
    assert unknown.json()["error"] == "temporarily_unavailable"
    assert unknown.headers["retry-after"] == "1"
    assert (await gated.introspect(person, "refresh_token")).status_code == 503
    began = time.monotonic()
    asked = await chancery.query("GET", "/v1/forward-auth", headers=person.bearer)
    assert (asked.status_code, problem_code(asked)) == (503, "revocations-unknown")
    assert time.monotonic() - began < 2
    assert (await chancery.query("GET", "/v1/me", headers=person.bearer)).status_code == 503
    forged = await chancery.query("GET", "/v1/forward-auth", headers={"authorization": "Bearer x.y.z"})
    assert forged.status_code == 401
    async with asking(chancery, bearing) as caller:
        with pytest.raises(grpc.aio.AioRpcError, match="revocations-unknown") as failed:
            await caller.validate(person.tokens["access_token"])
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        closed = await caller.check(authorization="Bearer " + person.tokens["access_token"])
        assert closed.denied_response.status.code == 503
    await eventually(lambda: has_failing(chancery, "postgres"), within_seconds=15)
    gated.valkey.open()
    gated.postgres.open()
    await until_ready(chancery.http, chancery.query_url)
    assert (await gated.introspect(person)).json()["active"] is True
    async with asking(chancery, bearing) as caller:
        assert (await caller.validate(person.tokens["access_token"])).active
    assert (await chancery.query("GET", "/v1/me", headers=person.bearer)).status_code == 200


async def has_failing(chancery: Chancery, part: str) -> bool:
    answer = await chancery.query("GET", "/health/ready")
    return answer.status_code == 503 and part in answer.json()["failing"]


@dataclass(slots=True)
class Flood:
    """Requests of one person on the long way, and how they were answered: problem code or nothing, seconds."""

    port: int
    request: bytes
    answers: list[tuple[int, str, float]] = field(default_factory=list)

    async def ask(self, count: int) -> None:
        """One after the other on one connection."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        with contextlib.closing(writer):
            for _ in range(count):
                asked = time.monotonic()
                writer.write(self.request)
                status, head, body = await read_answer(reader)
                assert status == 200 or b"retry-after: 1\r\n" in head, head
                code = json.loads(body)["type"].rpartition(":")[2] if status != 200 else ""
                self.answers.append((status, code, time.monotonic() - asked))

    def seconds(self, code: str) -> list[float]:
        return sorted(seconds for _, found, seconds in self.answers if found == code)


async def test_a_flood_before_a_database_that_hangs_is_shed_and_leaves_the_short_way_alone(
    gated: Gated,
) -> None:
    chancery = gated.chancery
    person, gone = await chancery.new_person(), await chancery.new_person()
    assert (await chancery.command("DELETE", "/v1/sessions", headers=gone.bearer)).status_code == 204
    await chancery.until_inactive(gone.tokens["access_token"])
    port = int(chancery.query_url.rpartition(":")[2])
    lines = f"authorization: {person.bearer['authorization']}\r\n"
    flood = Flood(port=port, request=http_request("GET", "/v1/me", b"", lines))
    await flood.ask(1)
    assert flood.answers.pop()[0] == 200
    assert await lets_in(chancery, person)
    before = resident_kb(gated.pid)
    verdicts: list[tuple[bool, bool]] = []
    gated.postgres.shut()
    async with running(watch(chancery, person, gone, verdicts)), asyncio.TaskGroup() as flooding:
        for _ in range(MOST_IN_WORK):
            flooding.create_task(flood.ask(1))
        await eventually(lambda: is_full(gated))
        for _ in range(CALLERS):
            flooding.create_task(flood.ask((FLOOD - MOST_IN_WORK) // CALLERS))
        assert await gated.metric("chancery_tasks") < MOST_TASKS
    shed = flood.seconds("overloaded")
    assert {answer[:2] for answer in flood.answers} == {(503, "overloaded"), (503, "unavailable")}
    assert len(shed) > FLOOD / 10
    assert shed[int(len(shed) * 0.99)] < AT_ONCE_SECONDS
    assert flood.seconds("unavailable")[-1] < 2 * POSTGRES_SECONDS
    assert verdicts
    assert set(verdicts) == {(True, False)}
    assert resident_kb(gated.pid) - before < MOST_GROWTH_KB
    gated.postgres.open()
    await until_ready(chancery.http, chancery.query_url)
    flood.answers.clear()
    await flood.ask(20)
    assert {answer[:2] for answer in flood.answers} == {(200, "")}
    assert await gated.metric("chancery_requests_in_work") == 0


async def is_full(gated: Gated) -> bool:
    return await gated.metric("chancery_requests_in_work") >= MOST_IN_WORK


async def watch(chancery: Chancery, person: Person, gone: Person, verdicts: list[tuple[bool, bool]]) -> None:
    """Whether the two are let in, again and again, until cancelled."""
    while True:
        verdicts.append((await lets_in(chancery, person), await lets_in(chancery, gone)))
        await asyncio.sleep(0.02)  # between two looks


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


async def test_a_log_that_hangs_takes_no_write_and_doubles_none_when_it_is_repeated(
    chancery: Chancery,
) -> None:
    broker = Broker(chancery.home, chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"])
    person = await chancery.new_person()
    email, key = new_email(), {"idempotency-key": f"once-{new_email()}"}
    body = {"email": email, "password": PASSWORD}
    async with broker.hanging():
        answers = await asyncio.gather(
            chancery.command("POST", "/v1/accounts", json=body, headers=key),
            chancery.refresh(person.tokens["refresh_token"]),
            chancery.command("DELETE", "/v1/sessions", headers=person.bearer),
        )
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(answer.headers["retry-after"] == "1" for answer in answers)
        assert answers[1].json()["error"] == "temporarily_unavailable"
        assert problem_code(answers[2]) in ("unavailable", "outcome-unknown")
        await eventually(lambda: is_without_log(chancery), within_seconds=15)
        assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True
    await until_ready(chancery.http, chancery.command_url)
    repeated = await chancery.command("POST", "/v1/accounts", json=body, headers=key)
    assert repeated.status_code == 202
    assert (await chancery.verify(email, await chancery.code_for(email))).status_code == 200
    assert len(await chancery.mails_to(email)) == 1
    await until_ready(chancery.http, chancery.query_url)


async def is_without_log(chancery: Chancery) -> bool:
    answer = await chancery.command("GET", "/health/ready")
    return answer.status_code == 503 and "log" in answer.json()["failing"]


async def test_a_read_model_that_stands_still_is_waited_for_as_long_as_was_asked(chancery: Chancery) -> None:
    email = new_email()
    assert (await chancery.sign_up(email)).status_code == 202
    code = await chancery.code_for(email)
    state = running_stack(chancery.home)
    assert state is not None
    pid = state.processes["projectors"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (await chancery.verify(email, code)).status_code == 200
        tokens = (await chancery.sign_in(email)).json()
        patient = {**bearer(tokens["access_token"]), "prefer": "wait=1"}
        at_position = {**patient, "chancery-min-position": tokens["position"]}
        for headers in (patient, at_position):
            began = time.monotonic()
            behind = await chancery.query("GET", "/v1/me", headers=headers)
            assert (behind.status_code, problem_code(behind)) == (503, "projection-behind")
            assert behind.headers["retry-after"] == "1"
            assert time.monotonic() - began >= 1
    finally:
        os.kill(pid, signal.SIGCONT)
    shown = await chancery.query("GET", "/v1/me", headers={**at_position, "prefer": "wait=10"})
    assert (shown.status_code, shown.json()["account_id"]) == (200, tokens["account_id"])
