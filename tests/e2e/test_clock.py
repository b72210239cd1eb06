"""One process whose machine has the wrong time: nobody's tokens are older or younger for it, and order is untouched."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from tests.e2e.conftest import command_process
from tests.support.authenticator_app import App, answer_challenge, challenged
from tests.support.chancery import Chancery
from tests.support.faketime import fake_time
from tests.support.log_reading import read_log

CLOSE = timedelta(seconds=30)
"""More than these processes can be apart, less than any of the offsets."""


def at_offset(offset: str) -> dict[str, str]:
    return {**fake_time(offset), "CHANCERY_FORWARDING": "off"}


@pytest.mark.parametrize("offset", ["-400d", "-1h", "+90s", "+400d"])
async def test_a_command_process_with_a_wrong_clock_decides_as_the_others(
    chancery: Chancery, offset: str
) -> None:
    person = await chancery.new_person()
    async with command_process(chancery, at_offset(offset)) as (skewed, _):
        named = await skewed.command("PATCH", "/v1/me", headers=person.bearer, json={"display_name": "x"})
        assert named.status_code == 204
        signed_in = await skewed.sign_in(person.email)
        assert signed_in.status_code == 201
        rotated = await skewed.refresh(person.tokens["refresh_token"])
        assert rotated.status_code == 200
    tokens = signed_in.json()
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert abs(datetime.fromtimestamp(claims["iat"], UTC) - datetime.now(UTC)) < CLOSE
    assert (await chancery.introspect(tokens["access_token"]))["active"]
    again = await chancery.refresh(tokens["refresh_token"])
    assert again.status_code == 200
    commit = (await read_log(chancery.settings))[tokens["position"]].commit
    assert abs(commit.at - datetime.now(UTC)) < CLOSE


@pytest.mark.parametrize("offset", ["-90s", "+90s"])
async def test_abuse_e9_a_code_of_an_authenticator_app_is_as_old_for_a_wrong_clock_as_for_the_others(
    chancery: Chancery, offset: str
) -> None:
    person = await chancery.new_person()
    app = await App.enrolled(chancery, person)
    async with command_process(chancery, at_offset(offset)) as (skewed, _):
        challenge = (await challenged(skewed, person))["challenge"]
        early = await answer_challenge(
            skewed, challenge, totp=App(secret=app.secret).code(3 if offset == "+90s" else -3)
        )
        assert early.status_code == 401, "its own clock counted"
        code = app.next_code()
        assert (await answer_challenge(skewed, challenge, totp=code)).status_code == 201
        challenge = (await challenged(chancery, person))["challenge"]
        for side in (chancery, skewed):
            assert (await answer_challenge(side, challenge, totp=code)).status_code == 401


@pytest.mark.parametrize("offset", ["-400d", "+1h"])
async def test_a_query_process_with_a_wrong_clock_answers_as_the_others(
    chancery: Chancery, offset: str
) -> None:
    person = await chancery.new_person()
    token = person.tokens["access_token"]
    async with command_process(chancery, at_offset(offset), "query") as (skewed, _):
        assert (await skewed.introspect(token))["active"]
        assert (await skewed.introspect(person.tokens["refresh_token"]))["active"]
        path = f"/v1/sessions/{person.tokens['session_id']}"
        assert (await chancery.command("DELETE", path, headers=person.bearer)).status_code == 204
        await skewed.until_inactive(token)
