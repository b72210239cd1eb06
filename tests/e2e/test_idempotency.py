"""Requests with an Idempotency-Key happen once, whatever their clients, processes and answers do."""

import asyncio
import uuid

import pytest

from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, new_email, problem_code


def key() -> dict[str, str]:
    return {"idempotency-key": str(uuid.uuid4())}


async def test_a_repeated_sign_in_gets_the_same_bytes_from_any_process(
    chancery: Chancery, twin: Chancery
) -> None:
    person = await chancery.new_person()
    headers = key()
    first = await chancery.sign_in(person.email, headers=headers)
    assert first.status_code == 201
    for side in (chancery, twin):
        again = await side.sign_in(person.email, headers=headers)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["chancery-position"] == first.headers["chancery-position"]


async def test_repetitions_at_once_have_one_effect(chancery: Chancery, twin: Chancery) -> None:
    person = await chancery.new_person()
    headers = key()
    answers = await asyncio.gather(
        *((chancery, twin)[n % 2].sign_in(person.email, headers=headers) for n in range(8))
    )
    assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}


async def test_the_same_key_with_another_body_is_refused(chancery: Chancery, twin: Chancery) -> None:
    headers = key()
    body = {"email": new_email(), "password": PASSWORD}
    assert (await chancery.command("POST", "/v1/accounts", json=body, headers=headers)).status_code == 202
    for other in ({**body, "email": new_email()}, {**body, "password": OTHER_PASSWORD}):
        answer = await twin.command("POST", "/v1/accounts", json=other, headers=headers)
        assert (answer.status_code, problem_code(answer)) == (422, "idempotency-key-reused")
    again = await chancery.command("POST", "/v1/accounts", json=body, headers=headers)
    assert (again.status_code, again.json()) == (202, {"status": "verification_sent"})
    assert len(await chancery.mails_to(body["email"])) == 1


async def test_a_negative_answer_is_kept_too(chancery: Chancery) -> None:
    email, headers = new_email(), key()
    body = {"email": email, "code": "00000000"}
    first = await chancery.command("POST", "/v1/email-verifications", json=body, headers=headers)
    again = await chancery.command("POST", "/v1/email-verifications", json=body, headers=headers)
    assert first.status_code == 400
    assert (again.status_code, again.content) == (400, first.content)


async def test_a_replayed_refresh_gives_the_same_tokens(chancery: Chancery) -> None:
    person = await chancery.new_person()
    form = {"grant_type": "refresh_token", "refresh_token": person.tokens["refresh_token"]}
    headers = key()
    first = await chancery.command("POST", "/oauth/token", data=form, headers=headers)
    again = await chancery.command("POST", "/oauth/token", data=form, headers=headers)
    assert (first.status_code, again.content) == (200, first.content)
    other = {**form, "scope": "openid"}
    reused = await chancery.command("POST", "/oauth/token", data=other, headers=headers)
    assert (reused.status_code, reused.json()["error"]) == (422, "invalid_request")


async def test_a_replay_revives_nothing(chancery: Chancery) -> None:
    person = await chancery.new_person()
    headers = key()
    first = (await chancery.sign_in(person.email, headers=headers)).json()
    path = f"/v1/sessions/{first['session_id']}"
    await chancery.command("DELETE", path, headers=person.bearer)
    await chancery.until_inactive(first["access_token"])
    again = (await chancery.sign_in(person.email, headers=headers)).json()
    assert again == first
    assert await chancery.introspect(again["access_token"]) == {"active": False}


async def test_a_password_changes_once_under_one_key(chancery: Chancery) -> None:
    person = await chancery.new_person()
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    headers = {**person.bearer, **key()}
    for _ in range(3):
        answer = await chancery.command("PUT", "/v1/me/password", json=body, headers=headers)
        assert answer.status_code == 204
    without = await chancery.command("PUT", "/v1/me/password", json=body, headers=person.bearer)
    assert without.status_code == 403


async def test_keys_belong_to_their_caller_method_and_path(chancery: Chancery) -> None:
    one, two, headers = await chancery.new_person(), await chancery.new_person(), key()
    for person in (one, two):
        body = {"display_name": f"I am {person.email}"}
        answer = await chancery.command("PATCH", "/v1/me", json=body, headers={**person.bearer, **headers})
        assert answer.status_code == 204
    ended = await chancery.command("DELETE", "/v1/sessions", headers={**one.bearer, **headers})
    assert ended.status_code == 204


async def test_a_repeated_grant_still_needs_the_secret(chancery: Chancery) -> None:
    form, headers = {"grant_type": "client_credentials"}, key()
    wrong = (chancery.basic[0], "wrong")

    async def ask(basic: tuple[str, str]) -> tuple[int, bytes]:
        answer = await chancery.command("POST", "/oauth/token", data=form, headers=headers, auth=basic)
        return answer.status_code, answer.content

    refused = await ask(wrong)
    assert refused[0] == 401
    first = await ask(chancery.basic)
    assert first[0] == 200
    assert await ask(chancery.basic) == first
    assert await ask(wrong) == refused
    other = await chancery.new_client("reports.read")
    foreign = await ask((other["client_id"], other["client_secret"]))
    assert foreign[0] == 200
    assert foreign[1] != first[1]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "ä".encode("latin-1")])
async def test_a_malformed_key_is_refused(chancery: Chancery, bad: str | bytes) -> None:
    answer = await chancery.command(
        "POST",
        "/v1/email-verifications/resend",
        json={"email": new_email()},
        headers={"idempotency-key": bad},
    )
    assert (answer.status_code, problem_code(answer)) == (400, "bad-idempotency-key")
