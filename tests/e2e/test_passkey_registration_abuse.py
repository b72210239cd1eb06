"""Attacks on how passkeys are registered, and on what somebody has who gave only the password: F1, F4, F5, E7, E8."""

import asyncio

import pytest

from runtime.encoding import base64url
from tests.e2e.conftest import second_command_process
from tests.support.authenticator import with_response
from tests.support.chancery import Chancery, bearer, problem_code
from tests.support.passkeys import (
    Held,
    answer_with,
    challenge_of,
    creation_options,
    free_port,
    give_passkey,
    hold,
    is_refused,
    new_passkey,
    origin_of,
    present,
    race,
    register,
    request_options,
    sign_in_with,
)

RACERS = 16


@pytest.fixture(scope="module")
async def held(chancery: Chancery) -> Held:
    return await hold(chancery)


async def test_abuse_f1_a_registration_is_good_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    options = await creation_options(chancery, person)
    bodies = [new_passkey(chancery).create(options) for _ in range(RACERS)]
    assert await race([register(chancery, person, body) for body in bodies]) == {201: 1, 400: RACERS - 1}


async def test_abuse_f3_members_in_another_spelling_register_nothing(chancery: Chancery, held: Held) -> None:
    good = new_passkey(chancery).create(await creation_options(chancery, held.person))
    attestation = good["response"]["attestationObject"]
    for body in (
        {**good, "rawId": "AQID"},
        {**good, "id": good["id"] + "=", "rawId": good["id"] + "="},
        with_response(good, attestationObject=attestation + "="),
        with_response(good, attestationObject=attestation.replace("_", "/").replace("-", "+") + " "),
        with_response(good, clientDataJSON="A"),
    ):
        answer = await register(chancery, held.person, body)
        assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")
    assert (await register(chancery, held.person, good)).status_code == 201


async def test_abuse_f4_a_registration_is_for_the_account_and_session_that_asked(chancery: Chancery) -> None:
    person, other = [await chancery.new_person() for _ in range(2)]
    stolen_options = await creation_options(chancery, other)
    answer = await register(chancery, person, new_passkey(chancery).create(stolen_options))
    assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")
    second = (await chancery.sign_in(person.email)).json()
    body = new_passkey(chancery).create(await creation_options(chancery, person))
    headers = bearer(second["access_token"])
    answer = await chancery.command("POST", "/v1/me/passkeys", headers=headers, json=body)
    assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")
    assert (await register(chancery, person, body)).status_code == 201


async def test_abuse_f4_challenges_end_and_old_sessions_add_nothing(chancery: Chancery) -> None:
    """At a process that gives a second for each."""
    held, person = await hold(chancery), await chancery.new_person()
    settings = {
        "CHANCERY_PASSKEY_SECONDS": "1",
        "CHANCERY_SECOND_FACTOR_SECONDS": "1",
        "CHANCERY_RECENT_SIGN_IN_SECONDS": "3",
        "CHANCERY_PASSKEY_ORIGINS": origin_of(chancery),
    }
    async with second_command_process(chancery, free_port(), settings) as hurried:
        fresh = await chancery.new_person()
        creation = new_passkey(chancery).create(await creation_options(hurried, fresh))
        request = held.passkey.get(await request_options(hurried))
        step = await challenge_of(hurried, held.person)
        answered = held.passkey.get(step["passkey_options"])
        await asyncio.sleep(2.1)  # until all three have ended, of which two are rounded up to a second
        late = await register(hurried, fresh, creation)
        assert (late.status_code, problem_code(late)) == (400, "invalid-passkey")
        assert is_refused(await present(hurried, request))
        late = await answer_with(hurried, step["challenge"], answered)
        assert (late.status_code, problem_code(late)) == (401, "invalid-code")
        await asyncio.sleep(1.5)  # until the sessions are older than three seconds
        passkey_path = f"/v1/me/passkeys/{held.passkey_id}"
        for method, path, one in (
            ("POST", "/v1/me/passkeys/options", person),
            ("POST", "/v1/me/passkeys/options", fresh),
            ("DELETE", passkey_path, held.person),
        ):
            answer = await hurried.command(method, path, headers=one.bearer)
            assert (answer.status_code, problem_code(answer)) == (401, "recent-sign-in-needed")
            assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
        answer = await register(hurried, fresh, creation)
        assert (answer.status_code, problem_code(answer)) == (401, "recent-sign-in-needed")


async def test_abuse_f4_an_ended_session_adds_nothing(chancery: Chancery) -> None:
    person = await chancery.new_person()
    body = new_passkey(chancery).create(await creation_options(chancery, person))
    assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204
    asked = await chancery.command("POST", "/v1/me/passkeys/options", headers=person.bearer)
    wrong = {**body, "rawId": "AQID"}
    for answer in (asked, *[await register(chancery, person, one) for one in (body, wrong)]):
        assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")


async def test_abuse_f5_what_is_too_large_or_too_deep_is_refused_at_once(
    chancery: Chancery, held: Held
) -> None:
    honest = new_passkey(chancery).create(await creation_options(chancery, held.person))
    bomb = bytes.fromhex("981e" + "d81c8100") + b"".join(
        b"\xd8\x1c\x82" + 2 * (b"\xd8\x1d" + _number(n)) for n in range(29)
    )
    for attestation in (
        bomb,
        b"\x81" * 8000,
        b"\xbb" + b"\xff" * 8,
        b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff",
        b"\xff",
    ):
        began = asyncio.get_running_loop().time()
        answer = await register(
            chancery, held.person, with_response(honest, attestationObject=base64url(attestation))
        )
        assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")
        assert asyncio.get_running_loop().time() - began < 1.5
    long_id = base64url(b"x" * 1024)
    for body in (
        {**honest, "id": long_id, "rawId": long_id},
        with_response(honest, clientDataJSON="A" * 8192),
    ):
        assert (await register(chancery, held.person, body)).status_code == 422
    huge = base64url(b"x" * 65536)
    for path in ("/v1/me/passkeys", "/v1/passkey-sessions"):
        body = {**honest, "id": huge, "rawId": huge}
        answer = await chancery.command("POST", path, headers=held.person.bearer, json=body)
        assert (answer.status_code, problem_code(answer)) == (413, "body-too-large")
    assert (await register(chancery, held.person, honest)).status_code == 201


def _number(n: int) -> bytes:
    return bytes([n]) if n < 24 else bytes([0x18, n])


async def test_abuse_f5_an_account_has_twenty_passkeys_at_most(chancery: Chancery) -> None:
    held = await hold(chancery)
    kept_back = new_passkey(chancery).create(await creation_options(chancery, held.person))
    for _ in range(19):
        await give_passkey(chancery, held.person)
    asked = await chancery.command("POST", "/v1/me/passkeys/options", headers=held.person.bearer)
    for answer in (asked, await register(chancery, held.person, kept_back)):
        assert (answer.status_code, problem_code(answer)) == (409, "too-many-passkeys")


async def test_abuse_e7_a_challenge_is_no_token_and_a_token_no_challenge(
    chancery: Chancery, held: Held
) -> None:
    """Whatever somebody has who gave only the password opens none of the calls, and nothing else opens the challenge."""
    challenge = await challenge_of(chancery, held.person)
    options = challenge["passkey_options"]
    pending = {challenge["challenge"], options["challenge"], (await request_options(chancery))["challenge"]}
    for token in pending:
        for method, path in (
            ("POST", "/v1/me/passkeys/options"),
            ("DELETE", f"/v1/me/passkeys/{held.passkey_id}"),
            ("DELETE", "/v1/sessions"),
        ):
            answer = await chancery.command(method, path, headers=bearer(token))
            assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")
        assert await chancery.introspect(token) == {"active": False}
    body = held.passkey.get(options)
    tokens = (await sign_in_with(chancery, held.passkey)).json()
    for wrong in (tokens["access_token"], tokens["refresh_token"], options["challenge"]):
        answer = await answer_with(chancery, wrong, body)
        assert answer.status_code in {401, 422}
    assert "access_token" not in challenge
    assert set(challenge) == {"challenge", "factors", "expires_in", "passkey_options", "position"}


async def test_abuse_e8_a_stolen_password_adds_no_passkey(chancery: Chancery, held: Held) -> None:
    """It gets no session at all, and a session from before the second factor is at an end."""
    person = await chancery.new_person()
    before = (await chancery.sign_in(person.email)).json()
    await give_passkey(chancery, person)
    answer = await chancery.command("POST", "/v1/me/passkeys/options", headers=bearer(before["access_token"]))
    assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")
