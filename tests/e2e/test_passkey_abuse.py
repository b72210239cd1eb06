"""Attacks on sign-in with passkeys and on the second step by one, through the whole platform: F1, F2, F3, C1."""

import cbor2
import pytest

from runtime.encoding import base64url, parse_base32
from tests.e2e.conftest import second_command_process
from tests.support.authenticator import (
    ELIGIBLE,
    PRESENT,
    VERIFIED,
    Lies,
    stolen,
    with_response,
)
from tests.support.chancery import Chancery, problem_code
from tests.support.passkeys import (
    Held,
    answer_with,
    challenge_of,
    creation_options,
    free_port,
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


@pytest.fixture(scope="module")
async def held(chancery: Chancery) -> Held:
    return await hold(chancery)


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
    async with second_command_process(chancery, free_port(), settings) as other:
        captured = held.passkey.get(await request_options(other))
        sides = [chancery, other] * (RACERS // 2)
        assert await race([present(side, captured) for side in sides]) == {201: 1, 401: RACERS - 1}


async def test_abuse_f1_a_second_step_takes_an_assertion_once_whoever_races(chancery: Chancery) -> None:
    held = await hold(chancery, step=0)
    challenge = await challenge_of(chancery, held.person)
    captured = held.passkey.get(challenge["passkey_options"])
    racers = [answer_with(chancery, challenge["challenge"], captured) for _ in range(RACERS)]
    assert await race(racers) == {201: 1, 401: RACERS - 1}
    later = await challenge_of(chancery, held.person)
    replayed = await answer_with(chancery, later["challenge"], captured)
    assert (replayed.status_code, problem_code(replayed)) == (401, "invalid-code")


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
