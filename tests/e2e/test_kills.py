"""kill -9 of any one process under load: nothing acknowledged is lost, nothing happens twice."""

import asyncio
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, running_stack, start_stack, stop_stack
from runtime.kafka import KafkaWriter
from runtime.kafka_access import KafkaAccess
from tests.e2e.conftest import open_chancery
from tests.support.chancery import PASSWORD, Chancery, bearer, new_email, problem_code, until_ready
from tests.support.log_reading import read_log
from tests.support.unlimited import UNLIMITED

PATIENCE_SECONDS = 40.0
LOAD_SECONDS = 5.0
KILL_AFTER_SECONDS = 1.5
PROCESSES = ["mailer", "postgres", "mail"]
"""Those whose death may cost or double a mail; the others' are in `faults/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A write that was answered well: where it must stand in the log, and the fact that it must hold."""

    position: str
    event: str
    stream: str


@dataclass(slots=True, kw_only=True)
class Load:
    """People who live the story, and repeat under the same key whatever was not answered."""

    chancery: Chancery
    acknowledged: list[Acknowledged] = field(default_factory=list)
    ended_tokens: list[str] = field(default_factory=list)
    live_tokens: list[str] = field(default_factory=list)
    signed_up: list[str] = field(default_factory=list)
    until: float = 0.0

    async def run(self, people: int) -> None:
        self.until = time.monotonic() + LOAD_SECONDS
        await asyncio.gather(*(self._live() for _ in range(people)))

    async def _live(self) -> None:
        while time.monotonic() < self.until:
            await self._one_story()

    async def _one_story(self) -> None:
        email = new_email()
        await self._ask("POST", "/v1/accounts", 202, json={"email": email, "password": PASSWORD})
        self.signed_up.append(email)
        code = await self._code(email)
        verified = await self._ask(
            "POST", "/v1/email-verifications", 200, json={"email": email, "code": code}
        )
        stream = f"account-{verified.json()['account_id']}"
        self._note(verified, "account.email_verified", stream)
        sign_in = {"email": email, "password": PASSWORD}
        tokens = await self._ask("POST", "/v1/sessions", 201, json=sign_in)
        self._note(tokens, "session.started", stream)
        form = {"grant_type": "refresh_token", "refresh_token": tokens.json()["refresh_token"]}
        rotated = await self._ask("POST", "/oauth/token", 200, data=form)
        self._note(rotated, "session.refreshed", stream)
        kept = await self._ask("POST", "/v1/sessions", 201, json=sign_in)
        self._note(kept, "session.started", stream)
        path = f"/v1/sessions/{tokens.json()['session_id']}"
        ended = await self._ask("DELETE", path, 204, headers=bearer(rotated.json()["access_token"]))
        self._note(ended, "session.revoked", stream)
        self.ended_tokens.append(rotated.json()["access_token"])
        self.live_tokens.append(kept.json()["access_token"])

    def _note(self, answer: httpx.Response, event: str, stream: str) -> None:
        position = answer.headers["chancery-position"]
        self.acknowledged.append(Acknowledged(position=position, event=event, stream=stream))

    async def _ask(self, method: str, path: str, expected: int, **request: Any) -> httpx.Response:
        headers = {**request.pop("headers", {}), "idempotency-key": str(uuid.uuid4())}
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                answer = await self.chancery.command(method, path, headers=headers, **request)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == expected:
                return answer
            assert answer.status_code == 503, answer.text
            assert "retry-after" in answer.headers
            await asyncio.sleep(0.1)
        raise AssertionError(f"{method} {path} was not answered within {PATIENCE_SECONDS} s")

    async def _code(self, email: str) -> str:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                return await self.chancery.code_for(email)
            except AssertionError:
                continue
        raise AssertionError("the mail never came")


@pytest.fixture(scope="module")
def doomed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("doomed")
    try:
        environment = {**os.environ, **UNLIMITED, **free_port_variables()}
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def doomed(doomed_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(doomed_stack) as opened:
        yield opened


@pytest.mark.parametrize("name", PROCESSES)
async def test_killing_a_process_loses_and_doubles_nothing(doomed: Chancery, name: str) -> None:
    load = Load(chancery=doomed)
    running = asyncio.create_task(load.run(people=3))
    await asyncio.sleep(KILL_AFTER_SECONDS)
    _kill(doomed.home, name)
    await running
    for url in _health_urls(doomed):
        await until_ready(doomed.http, url)
    await _judge_log(doomed, load)
    await _judge_reads(doomed, load)
    await _judge_mails(doomed, load)


def _kill(home: Path, name: str) -> None:
    state = running_stack(home)
    assert state is not None
    pid = state.processes[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def _health_urls(chancery: Chancery) -> list[str]:
    workers = [
        f"http://127.0.0.1:{chancery.settings[f'CHANCERY_{n}_PORT']}"
        for n in ("PROJECTORS", "MAILER", "RELAY")
    ]
    return [chancery.command_url, chancery.query_url, *workers]


async def _judge_log(chancery: Chancery, load: Load) -> None:
    """Every acknowledged fact counts where it was said to, and no command counts twice."""
    counted = await read_log(chancery.settings)
    assert load.acknowledged
    for acknowledged in load.acknowledged:
        events = counted[acknowledged.position].commit.events
        assert (acknowledged.stream, acknowledged.event) in {(event.stream, event.type) for event in events}
    facts = Counter((e.stream, e.type) for c in counted.values() for e in c.commit.events)
    for acknowledged in load.acknowledged:
        expected = 2 if acknowledged.event == "session.started" else 1
        assert facts[acknowledged.stream, acknowledged.event] == expected, acknowledged
    commits = Counter(
        c.commit.commit
        for c in counted.values()
        if any(e.type == "request.answered" for e in c.commit.events)
    )
    assert set(commits.values()) == {1}


async def _judge_reads(chancery: Chancery, load: Load) -> None:
    """An ended session is refused; until the stores are whole again the answer may be 503, and only that."""
    verdicts = [(token, False) for token in load.ended_tokens] + [(token, True) for token in load.live_tokens]
    for token, is_active in verdicts:
        assert (await _known(chancery, token))["active"] is is_active


async def _known(chancery: Chancery, token: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        answer = await chancery.query("POST", "/oauth/introspect", auth=chancery.basic, data={"token": token})
        if answer.status_code == 200:
            content: dict[str, Any] = answer.json()
            return content
        assert answer.status_code == 503, answer.text
        assert "retry-after" in answer.headers
        await asyncio.sleep(0.1)
    raise AssertionError("the stores never became whole again")


async def _judge_mails(chancery: Chancery, load: Load) -> None:
    """One mail each; a crash between the mail's acceptance and its record may send the same one again."""
    for email in load.signed_up:
        mails = await chancery.mails_to(email)
        assert len({mail.message_id for mail in mails}) == 1


async def test_a_record_that_is_none_halts_its_partition_and_no_other(doomed: Chancery) -> None:
    """It comes last: what stands in the log stays there. A restarted command process halts there too."""
    people = [await doomed.new_person() for _ in range(6)]
    poisoned = people[0].tokens["position"].partition(":")[0]
    writer = KafkaWriter(KafkaAccess(doomed.settings["CHANCERY_KAFKA_BOOTSTRAP"]), timeout_seconds=5)
    await writer.send("chancery.events", int(poisoned), b"account-aa", b"{not json")
    await writer.stop()
    for restarted in (False, True):
        if restarted:
            _kill(doomed.home, "command")
        for person in people:
            is_halted = person.tokens["position"].partition(":")[0] == poisoned
            answer = await _answered(doomed, person.email)
            assert answer.status_code == (503 if is_halted else 201)
            assert not is_halted or problem_code(answer) == "log-halted"
    ready = await doomed.http.get(doomed.command_url + "/health/ready")
    assert ready.status_code == 503
    assert list(ready.json()["failing"]) == [f"partition-{poisoned}"]


async def _answered(chancery: Chancery, email: str) -> httpx.Response:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await chancery.sign_in(email)
        except httpx.TransportError:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
