"""Three command processes as one: calls reach the one that their partition prefers, and go on without it."""

import asyncio
import contextlib
import os
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from command_api.replicas import BEAT_SECONDS, LIFE_SECONDS
from tests.e2e.conftest import command_process
from tests.support.chancery import PASSWORD, Chancery, bearer, new_email, problem_code, until_ready

_REQUESTS = re.compile(r'^chancery_http_request_seconds_count\{method="PATCH".*\} (\d+)', re.MULTILINE)
FELLOWS = {"CHANCERY_FORWARDING": "on"}


@dataclass(frozen=True, slots=True)
class Replica:
    chancery: Chancery
    process: asyncio.subprocess.Process

    async def patches(self) -> int:
        """PATCH requests that it has answered, its own clients' and its fellows'."""
        page = await self.chancery.http.get(self.chancery.command_url + "/metrics")
        return sum(int(float(count)) for count in _REQUESTS.findall(page.text))


@contextlib.asynccontextmanager
async def two_more(chancery: Chancery) -> AsyncIterator[list[Replica]]:
    """Beside the stack's own process, once all three have heard of one another."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(command_process(chancery, FELLOWS)) for _ in range(2)]
        await asyncio.sleep(2 * BEAT_SECONDS + 0.2)  # everybody has heard of everybody
        yield [Replica(*one) for one in opened]


@pytest.fixture(scope="module")
async def fellows(chancery: Chancery) -> AsyncIterator[list[Replica]]:
    async with two_more(chancery) as opened:
        yield opened


@pytest.fixture
async def doomed(chancery: Chancery) -> AsyncIterator[list[Replica]]:
    async with two_more(chancery) as opened:
        yield opened


ROUNDS = 10


async def test_a_call_is_decided_where_its_partition_prefers(
    chancery: Chancery, fellows: list[Replica]
) -> None:
    """Whatever process a person asks, it is always the same one that decides; and all of them have a share."""
    people = await asyncio.gather(*(chancery.new_person() for _ in range(8)))
    deciders: set[tuple[float, ...]] = set()
    for person in people * ROUNDS:  # who is too busy to be heard of for two seconds is done without
        if len(deciders) > 1:
            break
        before = [await one.patches() for one in fellows]
        for asked in (chancery, *(one.chancery for one in fellows)):
            answer = await asked.command("PATCH", "/v1/me", headers=person.bearer, json={"display_name": "x"})
            assert answer.status_code == 204
        handled = [await one.patches() - earlier for one, earlier in zip(fellows, before, strict=True)]
        assert sorted(handled) in ([1, 1], [1, 3])
        deciders.add(tuple(handled))
    assert len(deciders) > 1


async def test_an_answer_is_the_same_from_every_process(chancery: Chancery, fellows: list[Replica]) -> None:
    person = await chancery.new_person()
    key = {"idempotency-key": str(uuid.uuid4())}
    everybody = [chancery, *(one.chancery for one in fellows)]
    answers = await asyncio.gather(*(one.sign_in(person.email, headers=key) for one in everybody * 3))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


async def test_refusals_are_handed_back_as_they_are(chancery: Chancery, fellows: list[Replica]) -> None:
    person = await chancery.new_person()
    for asked in (chancery, *(one.chancery for one in fellows)):
        wrong = await asked.sign_in(person.email, "not the password at all")
        assert (wrong.status_code, problem_code(wrong)) == (401, "invalid-credentials")
        unknown = await asked.refresh("nonsense")
        assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_grant")
        body = {"email": person.email, "code": "00000000"}
        code = await asked.command("POST", "/v1/email-verifications", json=body)
        assert (code.status_code, problem_code(code)) == (400, "invalid-code")


async def test_a_client_address_is_handed_on(chancery: Chancery, fellows: list[Replica]) -> None:
    person = await chancery.new_person()
    for one in fellows:
        tokens = (await one.chancery.sign_in(person.email)).json()
        at = {**bearer(tokens["access_token"]), "chancery-min-position": tokens["position"]}
        shown = (await chancery.query("GET", "/v1/me/sessions", headers=at)).json()["sessions"]
        assert {session["ip"] for session in shown} == {"127.0.0.1"}


async def test_a_sign_up_through_any_process_is_one_account(
    chancery: Chancery, fellows: list[Replica]
) -> None:
    email = new_email()
    everybody = [chancery, *(one.chancery for one in fellows)]
    key = {"idempotency-key": str(uuid.uuid4())}
    body = {"email": email, "password": PASSWORD}
    answers = await asyncio.gather(
        *(one.command("POST", "/v1/accounts", headers=key, json=body) for one in everybody)
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len(await chancery.mails_to(email)) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_is_gone_is_done_without(
    chancery: Chancery, doomed: list[Replica], how: signal.Signals
) -> None:
    """Under keys every call comes to one answer within its deadline or a 503, from the processes that are left."""
    people = await asyncio.gather(*(chancery.new_person() for _ in range(8)))
    victim, survivor = doomed
    os.kill(victim.process.pid, how)
    began = time.monotonic()

    async def rename(number: int) -> int:
        """How often the answer was 503 before it came."""
        headers = {**people[number % 8].bearer, "idempotency-key": str(uuid.uuid4())}
        asked = (chancery, survivor.chancery)[number % 2]
        for refused in range(100):
            answer = await asked.command("PATCH", "/v1/me", headers=headers, json={"display_name": "y"})
            if answer.status_code == 204:
                return refused
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        raise AssertionError("never answered")

    await asyncio.gather(*(rename(number) for number in range(32)))
    await asyncio.sleep(
        max(0.0, began + LIFE_SECONDS + 1 - time.monotonic())
    )  # it is known to be gone by then
    assert await asyncio.gather(*(rename(number) for number in range(16))) == [0] * 16
    if how == signal.SIGSTOP:
        os.kill(victim.process.pid, signal.SIGCONT)
        await until_ready(victim.chancery.http, victim.chancery.command_url)
        person = people[0]
        answer = await victim.chancery.command(
            "PATCH", "/v1/me", headers=person.bearer, json={"display_name": "z"}
        )
        assert answer.status_code == 204
