"""Passkeys over HTTP: registering, signing in, the second step, taking one away."""

import pytest

from runtime.encoding import base64url, parse_base32
from tests.e2e.test_sign_in import TOKEN_MEMBERS, claims_of
from tests.support.authenticator import Lies
from tests.support.chancery import Chancery, problem_code
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


async def test_the_options_for_a_new_passkey_are_bare_and_name_no_more_than_they_must(
    chancery: Chancery,
) -> None:
    person = await chancery.new_person()
    answer = await chancery.command("POST", "/v1/me/passkeys/options", headers=person.bearer)
    options = answer.json()
    handle = parse_base32(person.account_id)
    assert handle is not None
    assert (answer.status_code, options["rp"]) == (200, {"id": "localhost", "name": "Chancery"})
    assert options["user"] == {"id": base64url(handle), "name": person.email, "displayName": person.email}
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert (options["attestation"], options["timeout"]) == ("none", 300_000)
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert options["excludeCredentials"] == []
    assert answer.headers["cache-control"] == "no-store"
    assert "chancery-position" in answer.headers
    again = await creation_options(chancery, person)
    assert again["challenge"] != options["challenge"]


@pytest.mark.parametrize(
    ("algorithm", "is_synced", "amr"),
    [("ES256", False, "hwk"), ("EdDSA", True, "swk"), ("RS256", False, "hwk")],
)
async def test_a_passkey_alone_signs_in_and_is_both_factors(
    chancery: Chancery, algorithm: str, *, is_synced: bool, amr: str
) -> None:
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person, algorithm=algorithm, is_synced=is_synced)
    answer = await sign_in_with(chancery, passkey)
    tokens = answer.json()
    assert (answer.status_code, set(tokens)) == (201, TOKEN_MEMBERS)
    assert tokens["account_id"] == person.account_id
    assert answer.headers["chancery-position"] == tokens["position"]
    claims = claims_of(tokens["access_token"])
    assert (claims["amr"], claims["acr"]) == ([amr, "user", "mfa"], "aal2")
    assert (await chancery.introspect(tokens["access_token"]))["active"] is True
    assert (await sign_in_with(chancery, passkey)).status_code == 201


async def test_registering_the_first_passkey_strengthens_this_session_and_ends_the_others(
    chancery: Chancery,
) -> None:
    person = await chancery.new_person()
    other = (await chancery.sign_in(person.email)).json()
    passkey = new_passkey(chancery)
    answer = await register(chancery, person, passkey.create(await creation_options(chancery, person)))
    content = answer.json()
    assert (answer.status_code, set(content)) == (201, {"id", "position"})
    assert answer.headers["chancery-position"] == content["position"]
    await chancery.until_inactive(other["access_token"])
    renewed = (await chancery.refresh(person.tokens["refresh_token"])).json()
    claims = claims_of(renewed["access_token"])
    assert (claims["amr"], claims["acr"]) == (["pwd", "hwk", "user", "mfa"], "aal2")
    second = await creation_options(chancery, person)
    assert [one["id"] for one in second["excludeCredentials"]] == [base64url(passkey.credential_id)]
    assert (await register(chancery, person, new_passkey(chancery).create(second))).status_code == 201
    assert (await chancery.introspect(renewed["access_token"]))["active"] is True


async def test_a_password_then_asks_for_the_passkey(chancery: Chancery) -> None:
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person)
    challenge = await challenge_of(chancery, person)
    options = challenge["passkey_options"]
    assert challenge["factors"] == ["passkey"]
    assert options["allowCredentials"] == [{"type": "public-key", "id": base64url(passkey.credential_id)}]
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert options["timeout"] <= challenge["expires_in"] * 1000
    answer = await answer_with(chancery, challenge["challenge"], passkey.get(options))
    claims = claims_of(answer.json()["access_token"])
    assert (answer.status_code, claims["amr"], claims["acr"]) == (201, ["pwd", "hwk", "user", "mfa"], "aal2")


async def test_a_second_step_needs_no_user_handle(chancery: Chancery) -> None:
    """Authenticators may leave it out where they were told which credentials will do."""
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person)
    for handle in ({}, {"userHandle": None}):
        challenge = await challenge_of(chancery, person)
        body = passkey.get(challenge["passkey_options"])
        del body["response"]["userHandle"]
        body["response"].update(handle)
        assert (await answer_with(chancery, challenge["challenge"], body)).status_code == 201


async def test_a_removed_passkey_is_gone_and_with_the_last_one_the_second_step(chancery: Chancery) -> None:
    person = await chancery.new_person()
    passkey, passkey_id = await give_passkey(chancery, person)
    other = (await sign_in_with(chancery, passkey)).json()
    path = f"/v1/me/passkeys/{passkey_id}"
    answer = await chancery.command("DELETE", path, headers=person.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "chancery-position" in answer.headers
    await chancery.until_inactive(other["access_token"])
    again = await chancery.command("DELETE", path, headers=person.bearer)
    assert (again.status_code, problem_code(again)) == (404, "passkey-not-found")
    assert (await chancery.sign_in(person.email)).status_code == 201


async def test_abuse_i1_somebody_elses_passkey_is_as_unknown_as_none(chancery: Chancery) -> None:
    person, other = [await chancery.new_person() for _ in range(2)]
    passkey, passkey_id = await give_passkey(chancery, person)
    answers = [
        await chancery.command("DELETE", f"/v1/me/passkeys/{name}", headers=other.bearer)
        for name in (passkey_id, "a" * 26, "x", "%00", base64url(passkey.credential_id))
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert (await sign_in_with(chancery, passkey)).status_code == 201


async def test_what_later_standards_and_older_browsers_send_is_taken(chancery: Chancery) -> None:
    person = await chancery.new_person()
    passkey = new_passkey(chancery)
    body = passkey.create(await creation_options(chancery, person))
    body["authenticatorAttachment"] = None
    body["clientExtensionResults"] = {"credProps": {"rk": True}, "prf": {"enabled": True}}
    body["response"] |= {"transports": ["internal", "hybrid"], "publicKey": "AQID"}
    assert (await register(chancery, person, body)).status_code == 201
    short = passkey.get(await request_options(chancery))
    del short["authenticatorAttachment"], short["clientExtensionResults"]
    assert (await present(chancery, short)).status_code == 201


@pytest.mark.parametrize("member", ["id", "rawId", "type", "response"])
async def test_what_the_standard_requires_must_be_there_and_nothing_unknown_may(
    chancery: Chancery, member: str
) -> None:
    person = await chancery.new_person()
    registration = new_passkey(chancery).create(await creation_options(chancery, person))
    passkey, _ = await give_passkey(chancery, person)
    assertion = passkey.get(await request_options(chancery))
    for body, path in ((registration, "/v1/me/passkeys"), (assertion, "/v1/passkey-sessions")):
        without = {name: value for name, value in body.items() if name != member}
        odd = [
            without,
            {**body, member: 1},
            {**body, "more": 1},
            {**body, "response": {**body["response"], "more": 1}},
        ]
        for content in odd:
            answer = await chancery.command("POST", path, json=content, headers=person.bearer)
            assert (answer.status_code, problem_code(answer)) == (422, "validation-failed"), content


async def test_a_repeated_call_gets_the_first_answer(chancery: Chancery) -> None:
    person = await chancery.new_person()
    key = {"idempotency-key": f"passkey-{person.account_id}"}
    passkey = new_passkey(chancery)
    path = "/v1/me/passkeys/options"
    asked = [await chancery.command("POST", path, headers={**person.bearer, **key}) for _ in range(2)]
    assert asked[0].content == asked[1].content
    body = passkey.create(asked[0].json())
    made = [await register(chancery, person, body, **key) for _ in range(2)]
    assert {answer.status_code for answer in made} == {201}
    assert made[0].content == made[1].content
    options = [await chancery.command("POST", "/v1/passkey-sessions/options", headers=key) for _ in range(2)]
    assert {answer.status_code for answer in options} == {200}
    assert options[0].content == options[1].content
    assertion = passkey.get(options[0].json())
    opened = [await present(chancery, assertion, **key) for _ in range(2)]
    assert {answer.status_code for answer in opened} == {201}
    assert opened[0].content == opened[1].content


async def test_pages_of_the_origins_that_are_set_may_use_passkeys(chancery: Chancery, twin: Chancery) -> None:
    """The twin has another port, and with it another default origin."""
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person)
    refused = await sign_in_with(twin, passkey)
    assert (refused.status_code, problem_code(refused)) == (401, "invalid-credentials")
    passkey.origin = origin_of(twin)
    assert (await sign_in_with(twin, passkey)).status_code == 201


async def test_a_lock_out_does_not_keep_a_passkey_out(chancery: Chancery) -> None:
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person)
    for _ in range(10):
        assert (await chancery.sign_in(person.email, "a wrong sentence that is long")).status_code == 401
    assert (await chancery.sign_in(person.email)).status_code == 401
    assert (await sign_in_with(chancery, passkey)).status_code == 201


async def test_no_key_of_a_passkey_is_in_the_logs_of_processes(chancery: Chancery) -> None:
    person = await chancery.new_person()
    passkey, _ = await give_passkey(chancery, person)
    await sign_in_with(chancery, passkey, Lies(rp_id="example.org"))
    name = base64url(passkey.credential_id)
    logs = list((chancery.home / "log").glob("*.log"))
    assert logs
    assert not [path.name for path in logs if name in path.read_text(errors="replace")]
