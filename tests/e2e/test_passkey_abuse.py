"""Attacks on passkeys, each through the whole platform: abuse cases F1 to F5, and E7."""

import asyncio
from collections import Counter
from typing import Any

import cbor2
import httpx
import pytest

from localstack.ports import free_port_variables
from runtime.encoding import base64url, parse_base32
from tests.e2e.conftest import second_command_process
from tests.support.authenticator import (
    ELIGIBLE,
    PRESENT,
    VERIFIED,
    Authenticator,
    Lies,
    stolen,
    with_response,
)
from tests.support.chancery import Chancery, Person, bearer, problem_code
from tests.support.passkeys import (
    answer_with,
    challenge_of,
    creation_options,
    give_passkey,
    new_passkey,
    origin_of,
    present,
    register,
    request_options,
    sign_in_with,
)

LIES: dict[str, Lies] = {
    "another origin": Lies(client={"origin": "https://evil.example"}),
    "another port": Lies(client={"origin": "http://localhost:1"}),
    "another relying party": Lies(rp_id="evil.example"),
    "another type": Lies(client={"type": "payment.get"}),
    "another site's frame": Lies(client={"crossOrigin": True}),
    "another site around the page": Lies(client={"topOrigin": "https://evil.example"}),
    "nobody present": Lies(clear_flags=PRESENT),
    "nobody verified": Lies(clear_flags=VERIFIED),
    "a synced passkey of a sudden": Lies(set_flags=ELIGIBLE),
    "another signature": Lies(signature=b"x" * 70),
    "no signature": Lies(signature=b"\x00"),
    "a challenge of somebody's": Lies(client={"challenge": base64url(b"x" * 40)}),
    "no challenge": Lies(without=("challenge",)),
    "no JSON": Lies(client_data=b"\xff"),
}
RACERS = 16


class Held:
    """A person with a passkey."""

    def __init__(self, person: Person, passkey: Authenticator, passkey_id: str) -> None:
        self.person = person
        self.passkey = passkey
        self.passkey_id = passkey_id


async def hold(chancery: Chancery, **more: Any) -> Held:
    person = await chancery.new_person()
    return Held(person, *await give_passkey(chancery, person, **more))


@pytest.fixture(scope="module")
async def held(chancery: Chancery) -> Held:
    return await hold(chancery)


def is_refused(answer: httpx.Response) -> bool:
    return (answer.status_code, problem_code(answer)) == (401, "invalid-credentials")


async def race(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*answers))


async def test_abuse_f1_a_captured_assertion_is_good_once(chancery: Chancery, held: Held) -> None:
    captured = held.passkey.get(await request_options(chancery))
    assert (await present(chancery, captured)).status_code == 201
    assert is_refused(await present(chancery, captured))
    assert is_refused(await present(chancery, captured))


async def test_abuse_f1_sixteen_presentations_of_one_assertion_at_once_open_one_session(
    chancery: Chancery, twin: Chancery
) -> None:
    """Of authenticators that count, and of those that do not, whose only guard is the challenge."""
    for step in (1, 0):
        held = await hold(chancery, step=step)
        held.passkey.origin = origin_of(chancery)
        captured = held.passkey.get(await request_options(chancery))
        assert await race([present(chancery, captured) for _ in range(RACERS)]) == {201: 1, 401: RACERS - 1}


async def test_abuse_f1_two_processes_take_one_assertion_once(chancery: Chancery) -> None:
    held = await hold(chancery, step=0)
    settings = {"CHANCERY_PASSKEY_ORIGINS": origin_of(chancery)}
    async with second_command_process(chancery, 0, {**settings, **_port()}) as other:
        captured = held.passkey.get(await request_options(other))
        sides = [chancery, other] * (RACERS // 2)
        assert await race([present(side, captured) for side in sides]) == {201: 1, 401: RACERS - 1}


def _port() -> dict[str, str]:
    return {"CHANCERY_COMMAND_PORT": free_port_variables()["CHANCERY_COMMAND_PORT"]}


async def test_abuse_f1_a_second_step_takes_an_assertion_once_whoever_races(chancery: Chancery) -> None:
    held = await hold(chancery, step=0)
    challenge = await challenge_of(chancery, held.person)
    captured = held.passkey.get(challenge["passkey_options"])
    racers = [answer_with(chancery, challenge["challenge"], captured) for _ in range(RACERS)]
    assert await race(racers) == {201: 1, 401: RACERS - 1}
    later = await challenge_of(chancery, held.person)
    replayed = await answer_with(chancery, later["challenge"], captured)
    assert (replayed.status_code, problem_code(replayed)) == (401, "invalid-code")


async def test_abuse_f1_a_registration_is_good_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    options = await creation_options(chancery, person)
    bodies = [new_passkey(chancery).create(options) for _ in range(RACERS)]
    assert await race([register(chancery, person, body) for body in bodies]) == {201: 1, 400: RACERS - 1}


async def test_abuse_f1_challenges_are_good_for_their_own_purpose(chancery: Chancery) -> None:
    held = await hold(chancery)
    step = await challenge_of(chancery, held.person)
    creation, request = await creation_options(chancery, held.person), await request_options(chancery)
    for challenge in (creation["challenge"], step["passkey_options"]["challenge"], step["challenge"]):
        assert is_refused(await present(chancery, held.passkey.get({"challenge": challenge})))
    for challenge in (creation["challenge"], request["challenge"]):
        answer = await answer_with(chancery, step["challenge"], held.passkey.get({"challenge": challenge}))
        assert (answer.status_code, problem_code(answer)) == (401, "invalid-code")
    for challenge in (request["challenge"], step["passkey_options"]["challenge"]):
        body = new_passkey(chancery).create({**creation, "challenge": challenge})
        answer = await register(chancery, held.person, body)
        assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")
    assert (await present(chancery, held.passkey.get(request))).status_code == 201
    right = held.passkey.get(step["passkey_options"])
    assert (await answer_with(chancery, step["challenge"], right)).status_code == 201


async def test_abuse_f2_somebody_without_a_passkey_cannot_sign_in_with_one(
    chancery: Chancery, held: Held
) -> None:
    """Not with their own name and a key that they never registered, nor with somebody else's passkey."""
    nobody = await chancery.new_person()
    handle = parse_base32(nobody.account_id)
    assert handle is not None
    unregistered = new_passkey(chancery)
    unregistered.create(await creation_options(chancery, nobody))
    assert is_refused(await sign_in_with(chancery, unregistered))
    assert is_refused(await sign_in_with(chancery, stolen(held.passkey, user_handle=handle)))


async def test_abuse_f2_whatever_is_wrong_gets_one_answer(chancery: Chancery, held: Held) -> None:
    """Also for accounts that do not exist, are removed from, or are shut."""
    gone = await hold(chancery)
    path = f"/v1/me/passkeys/{gone.passkey_id}"
    assert (await chancery.command("DELETE", path, headers=gone.person.bearer)).status_code == 204
    closed = await hold(chancery)
    password = {"password": closed.person.password}
    done = await chancery.command("DELETE", "/v1/me", headers=closed.person.bearer, json=password)
    assert done.status_code == 202
    assert held.passkey.user_handle
    body = held.passkey.get(await request_options(chancery))
    answers = [
        await sign_in_with(chancery, gone.passkey),
        await sign_in_with(chancery, closed.passkey),
        await sign_in_with(chancery, stolen(held.passkey, user_handle=b"0123456789abcdef")),
        await sign_in_with(chancery, stolen(held.passkey, user_handle=b"short")),
        await sign_in_with(chancery, stolen(held.passkey, credential_id=b"another")),
        await present(chancery, with_response(body, userHandle=None)),
        await present(chancery, with_response(body, userHandle="")),
        await present(chancery, with_response(body, userHandle="A=")),
        await present(chancery, with_response(body, signature="AR")),
        await present(chancery, {**body, "rawId": "AQID"}),
        await present(chancery, {**body, "id": body["id"] + "=", "rawId": body["id"] + "="}),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert problem_code(answers[0]) == "invalid-credentials"
    assert (await present(chancery, body)).status_code == 201


async def test_abuse_c1_options_for_a_sign_in_say_nothing_of_anybody(chancery: Chancery) -> None:
    answers = [await chancery.command("POST", "/v1/passkey-sessions/options") for _ in range(2)]
    masked = [{**answer.json(), "challenge": "x"} for answer in answers]
    asked = {"timeout": 300_000, "rpId": "localhost", "userVerification": "required", "allowCredentials": []}
    assert masked == [{"challenge": "x", **asked}] * 2


@pytest.mark.parametrize("lie", LIES)
async def test_abuse_f3_a_lie_opens_nothing(chancery: Chancery, held: Held, lie: str) -> None:
    assert is_refused(await sign_in_with(chancery, held.passkey, LIES[lie]))
    challenge = await challenge_of(chancery, held.person)
    body = held.passkey.get(challenge["passkey_options"], LIES[lie])
    answer = await answer_with(chancery, challenge["challenge"], body)
    assert (answer.status_code, problem_code(answer)) == (401, "invalid-code")
    assert (await sign_in_with(chancery, held.passkey)).status_code == 201


@pytest.mark.parametrize("lie", [name for name in LIES if "signature" not in name and "synced" not in name])
async def test_abuse_f3_a_lie_registers_nothing(chancery: Chancery, held: Held, lie: str) -> None:
    body = new_passkey(chancery).create(await creation_options(chancery, held.person), LIES[lie])
    answer = await register(chancery, held.person, body)
    assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")


async def test_abuse_f3_a_counter_that_did_not_grow_is_a_copy(chancery: Chancery) -> None:
    held = await hold(chancery)
    assert (await sign_in_with(chancery, held.passkey, Lies(sign_count=100))).status_code == 201
    for count in (100, 99, 1, 0):
        assert is_refused(await sign_in_with(chancery, held.passkey, Lies(sign_count=count)))
        challenge = await challenge_of(chancery, held.person)
        body = held.passkey.get(challenge["passkey_options"], Lies(sign_count=count))
        assert (await answer_with(chancery, challenge["challenge"], body)).status_code == 401
    assert (await sign_in_with(chancery, held.passkey, Lies(sign_count=101))).status_code == 201
    uncounted = await hold(chancery, step=0)
    for _ in range(2):
        assert (await sign_in_with(chancery, uncounted.passkey)).status_code == 201
    assert (await sign_in_with(chancery, uncounted.passkey, Lies(sign_count=5))).status_code == 201
    assert is_refused(await sign_in_with(chancery, uncounted.passkey))


async def test_abuse_f3_an_algorithm_that_was_not_offered_registers_nothing(
    chancery: Chancery, held: Held
) -> None:
    key = cbor2.dumps({1: 2, 3: -35, -1: 2, -2: b"x" * 48, -3: b"y" * 48})
    body = new_passkey(chancery).create(await creation_options(chancery, held.person), Lies(cose_key=key))
    answer = await register(chancery, held.person, body)
    assert (answer.status_code, problem_code(answer)) == (400, "invalid-passkey")


async def test_abuse_f3_somebody_elses_passkey_answers_no_second_step(chancery: Chancery, held: Held) -> None:
    other = await hold(chancery)
    challenge = await challenge_of(chancery, held.person)
    for passkey in (
        other.passkey,
        stolen(other.passkey, user_handle=held.passkey.user_handle),
        stolen(other.passkey, user_handle=held.passkey.user_handle, credential_id=held.passkey.credential_id),
        stolen(held.passkey, user_handle=other.passkey.user_handle),
    ):
        body = passkey.get(challenge["passkey_options"])
        answer = await answer_with(chancery, challenge["challenge"], body)
        assert (answer.status_code, problem_code(answer)) == (401, "invalid-code")
    right = held.passkey.get(challenge["passkey_options"])
    assert (await answer_with(chancery, challenge["challenge"], right)).status_code == 201


async def test_abuse_f3_a_credential_id_twice_is_refused_and_anothers_opens_nothing(
    chancery: Chancery,
) -> None:
    """Somebody who registers another's credential id gets a passkey of their own account, and no way into the other."""
    held, thief = await hold(chancery), await chancery.new_person()
    twice = new_passkey(chancery, credential_id=held.passkey.credential_id)
    answer = await register(
        chancery, held.person, twice.create(await creation_options(chancery, held.person))
    )
    assert (answer.status_code, problem_code(answer)) == (409, "passkey-known")
    taken = new_passkey(chancery, credential_id=held.passkey.credential_id)
    answer = await register(chancery, thief, taken.create(await creation_options(chancery, thief)))
    assert answer.status_code == 201
    assert is_refused(await sign_in_with(chancery, stolen(taken, user_handle=held.passkey.user_handle)))
    assert (await sign_in_with(chancery, taken)).json()["account_id"] == thief.account_id
    assert (await sign_in_with(chancery, held.passkey)).json()["account_id"] == held.person.account_id


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
    async with second_command_process(chancery, 0, {**settings, **_port()}) as hurried:
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
    for answer in (asked, await register(chancery, person, body)):
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
