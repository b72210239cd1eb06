"""Command processes with other settings on the same log: bounds that are reached, and a stop that drains."""

import asyncio
import uuid

import httpx
import pytest

from localstack.ports import free_port_variables
from tests.e2e.conftest import second_command_process
from tests.support.chancery import Chancery, problem_code


def port() -> int:
    return int(free_port_variables()["CHANCERY_COMMAND_PORT"])


async def test_without_a_grace_the_token_before_is_theft_at_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    first = person.tokens["refresh_token"]
    async with second_command_process(chancery, port(), {"CHANCERY_REFRESH_GRACE_SECONDS": "0"}) as strict:
        rotated = (await strict.refresh(first)).json()
        stolen = await strict.refresh(first)
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        assert (await strict.refresh(rotated["refresh_token"])).status_code == 400
        await chancery.until_inactive(rotated["access_token"])


async def test_abuse_j3_a_full_password_pool_answers_503_at_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    small = {"CHANCERY_PASSWORD_HASH_THREADS": "1", "CHANCERY_PASSWORD_HASH_QUEUE": "1"}
    async with second_command_process(chancery, port(), small) as busy:
        answers = await asyncio.gather(*(busy.sign_in(person.email) for _ in range(20)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {201, 503}
        assert {problem_code(answer) for answer in refused} == {"overloaded"}
        assert all("retry-after" in answer.headers for answer in refused)
        assert (await busy.sign_in(person.email)).status_code == 201


def is_accepted(answer: httpx.Response | BaseException) -> bool:
    """A slow machine may be too busy with the first passwords to take the last ones in."""
    if not isinstance(answer, httpx.Response):
        return False
    return answer.status_code != 503 or problem_code(answer) != "overloaded"


async def test_a_process_that_is_told_to_stop_finishes_what_it_accepted(chancery: Chancery) -> None:
    """What it did not accept any more can be repeated elsewhere under the same key, and happens once."""
    person = await chancery.new_person()
    keys = [{"idempotency-key": str(uuid.uuid4())} for _ in range(12)]
    async with second_command_process(chancery, port(), {}) as leaving:
        running = [asyncio.create_task(leaving.sign_in(person.email, headers=key)) for key in keys]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    answers = await asyncio.gather(*running, return_exceptions=True)
    assert sum(is_accepted(answer) for answer in answers) > 1
    for key, answer in zip(keys, answers, strict=True):
        again = await chancery.sign_in(person.email, headers=key)
        assert again.status_code == 201
        if isinstance(answer, httpx.Response) and is_accepted(answer):
            assert (answer.status_code, answer.content) == (201, again.content)


async def test_production_refuses_development_secrets(chancery: Chancery) -> None:
    secrets = {name: value for name, value in chancery.settings.items() if name.endswith("_KEY")}
    assert secrets
    status, _, err = await chancery.cli("serve", "command", more={"CHANCERY_MODE": "production"})
    assert status == 2
    assert "CHANCERY_SECRET_KEY was generated for development" in err
    assert not any(value in err for value in secrets.values())


async def test_a_wrong_partition_count_refuses_to_start(chancery: Chancery) -> None:
    status, _, err = await chancery.cli("serve", "command", more={"CHANCERY_PARTITIONS": "4"})
    assert status == 1
    assert "the number is fixed when the log is made" in err


@pytest.mark.parametrize("process", ["relay", "risk"])
async def test_without_the_public_topic_they_refuse_to_start(chancery: Chancery, process: str) -> None:
    more = {"CHANCERY_PUBLIC_TOPIC": "nobody.made.this", f"CHANCERY_{process.upper()}_PORT": str(port())}
    status, _, err = await chancery.cli("serve", process, more=more)
    assert status == 1
    assert "topic nobody.made.this does not exist; run `chancery provision`" in err


async def test_another_key_encryption_key_refuses_to_start(chancery: Chancery) -> None:
    more = {"CHANCERY_KEY_ENCRYPTION_KEY": "A" * 43}
    status, _, err = await chancery.cli("serve", "command", more=more)
    assert status == 1
    assert "CHANCERY_KEY_ENCRYPTION_KEY is not the one it was wrapped with" in err
