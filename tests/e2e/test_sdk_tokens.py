"""Token checks in another service's own process: keys and revocations come by themselves, and silence lets nobody in."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chancery_sdk.token_feed import Source, Tokens, open_tokens
from chancery_sdk.tokens import InvalidTokenError, StaleError
from localstack.ports import free_port_variables
from tests.e2e.conftest import command_process
from tests.support.admins import token_of
from tests.support.chancery import Chancery, Person
from tests.support.tasks import eventually

AUDIENCE = "chancery"


def source_of(chancery: Chancery) -> Source:
    return Source(url=chancery.query_url, **chancery.client)


async def is_refused(tokens: Tokens, token: str) -> bool:
    """As invalid: StaleError is raised."""
    try:
        tokens.verify(token)
    except InvalidTokenError:
        return True
    return False


async def is_stale(tokens: Tokens, token: str) -> bool:
    try:
        tokens.verify(token)
    except StaleError:
        return True
    return False


async def sign_out(chancery: Chancery, person: Person) -> None:
    assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204


@pytest.fixture
async def tokens(chancery: Chancery) -> AsyncIterator[Tokens]:
    async with open_tokens(source_of(chancery), audience=AUDIENCE) as opened:
        yield opened


async def test_people_and_machines_are_known_and_a_sign_out_refuses_within_a_second(
    chancery: Chancery, tokens: Tokens
) -> None:
    person, gone = await chancery.new_person(), await chancery.new_person()
    claims = tokens.verify(person.tokens["access_token"])
    assert (claims.subject, claims.session_id) == (person.account_id, person.tokens["session_id"])
    machine = tokens.verify(await token_of(chancery, dict(chancery.client)))
    assert (machine.session_id, machine.scopes) == (None, frozenset({"chancery.introspect"}))
    tokens.verify(gone.tokens["access_token"])
    await sign_out(chancery, gone)
    await eventually(lambda: is_refused(tokens, gone.tokens["access_token"]), within_seconds=1)
    tokens.verify(person.tokens["access_token"])


async def test_what_was_revoked_before_it_opened_is_refused_at_once(chancery: Chancery) -> None:
    gone = await chancery.new_person()
    await sign_out(chancery, gone)
    await chancery.until_inactive(gone.tokens["access_token"])
    async with open_tokens(source_of(chancery), audience=AUDIENCE) as tokens:
        assert await is_refused(tokens, gone.tokens["access_token"])


async def test_tokens_for_others_and_no_tokens_let_nobody_in(chancery: Chancery, tokens: Tokens) -> None:
    person = await chancery.new_person()
    for bad in (person.tokens["refresh_token"], person.tokens["access_token"] + "=", "x.y.z"):
        with pytest.raises(InvalidTokenError):
            await tokens.check(bad)
    async with open_tokens(source_of(chancery), audience="another") as others:
        assert await is_refused(others, person.tokens["access_token"])


async def test_silence_is_stale_and_what_was_missed_is_caught_up_with(chancery: Chancery) -> None:
    person, gone = await chancery.new_person(), await chancery.new_person()
    port = free_port_variables("query", "grpc")
    async with (
        command_process(chancery, port, "query") as (side, process),
        open_tokens(source_of(side), audience=AUDIENCE, stale_seconds=2) as tokens,
    ):
        token = person.tokens["access_token"]
        tokens.verify(token)
        process.kill()
        await process.wait()
        began = time.monotonic()
        await sign_out(chancery, gone)
        await eventually(lambda: is_stale(tokens, token))
        assert time.monotonic() - began < 4

        async def knows_all() -> bool:
            return not await is_stale(tokens, token) and not await is_refused(tokens, token)

        async with command_process(chancery, port, "query"):
            await eventually(knows_all, within_seconds=15)
            assert await is_refused(tokens, gone.tokens["access_token"])


async def test_a_chancery_that_is_not_there_opens_nothing(chancery: Chancery) -> None:
    nowhere = Source(url="http://127.0.0.1:1", **chancery.client)
    with pytest.raises(StaleError):
        async with asyncio.timeout(20), open_tokens(nowhere, audience=AUDIENCE):
            pass
