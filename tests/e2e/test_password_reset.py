"""A new password by a mailed code, over HTTP."""

import asyncio

import httpx
import pytest

from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, new_email, problem_code


async def ask(chancery: Chancery, email: str) -> httpx.Response:
    return await chancery.command("POST", "/v1/password-resets", json={"email": email})


async def confirm(
    chancery: Chancery, email: str, code: str, password: str = OTHER_PASSWORD
) -> httpx.Response:
    body = {"email": email, "code": code, "new_password": password}
    return await chancery.command("POST", "/v1/password-resets/confirm", json=body)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


async def test_a_reset_sets_the_password_and_ends_every_session(chancery: Chancery) -> None:
    person = await chancery.new_person()
    assert (await ask(chancery, person.email)).status_code == 202
    answer = await confirm(chancery, person.email, await chancery.code_for(person.email, 2))
    assert answer.status_code == 204
    assert "chancery-position" in answer.headers
    await chancery.until_inactive(person.tokens["access_token"])
    assert (await chancery.refresh(person.tokens["refresh_token"])).status_code == 400
    assert (await chancery.sign_in(person.email, PASSWORD)).status_code == 401
    assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 201


async def test_abuse_c1_the_answer_is_the_same_for_every_address(chancery: Chancery) -> None:
    person, pending = await chancery.new_person(), new_email()
    await chancery.sign_up(pending)
    answers = [await ask(chancery, email) for email in (person.email, pending, new_email())]
    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
    assert {frozenset(a.headers) for a in answers} == {frozenset(answers[0].headers)}
    assert "chancery-position" not in answers[0].headers
    assert len(await chancery.mails_to(pending)) == 1


async def test_wrong_used_replaced_and_unknown_codes_get_one_answer(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await ask(chancery, person.email)
    first = await chancery.code_for(person.email, 2)
    await ask(chancery, person.email)
    second = await chancery.code_for(person.email, 3)
    answers = [
        await confirm(chancery, person.email, first),
        await confirm(chancery, person.email, wrong(second)),
        await confirm(chancery, person.email, "abc"),
        await confirm(chancery, new_email(), second),
    ]
    assert (await confirm(chancery, person.email, second)).status_code == 204
    answers.append(await confirm(chancery, person.email, second))
    assert {(a.status_code, a.content) for a in answers} == {(400, answers[0].content)}
    assert problem_code(answers[0]) == "invalid-code"


async def test_a_code_dies_of_too_many_guesses(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await ask(chancery, person.email)
    code = await chancery.code_for(person.email, 2)
    for _ in range(10):
        assert (await confirm(chancery, person.email, wrong(code))).status_code == 400
    assert (await confirm(chancery, person.email, code)).status_code == 400
    assert (await chancery.sign_in(person.email)).status_code == 201


async def test_a_reset_ends_the_lock_out(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await asyncio.gather(*(chancery.sign_in(person.email, OTHER_PASSWORD) for _ in range(10)))
    assert (await chancery.sign_in(person.email)).status_code == 401
    await ask(chancery, person.email)
    code = await chancery.code_for(person.email, 2)
    assert (await confirm(chancery, person.email, code)).status_code == 204
    assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 201


async def test_abuse_h5_a_code_is_dead_after_a_password_change(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await ask(chancery, person.email)
    code = await chancery.code_for(person.email, 2)
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    changed = await chancery.command("PUT", "/v1/me/password", json=body, headers=person.bearer)
    assert changed.status_code == 204
    assert (await confirm(chancery, person.email, code)).status_code == 400


async def test_only_so_many_mails_go_out_in_an_hour(chancery: Chancery) -> None:
    person = await chancery.new_person()
    answers = [await ask(chancery, person.email) for _ in range(7)]
    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
    code = await chancery.code_for(person.email, 6)
    assert (await confirm(chancery, person.email, code)).status_code == 204
    assert len(await chancery.mails_to(person.email)) == 6


async def test_abuse_h5_a_code_presented_sixteen_times_at_once_works_once(
    chancery: Chancery, twin: Chancery
) -> None:
    person = await chancery.new_person()
    await ask(chancery, person.email)
    code = await chancery.code_for(person.email, 2)
    answers = await asyncio.gather(
        *(confirm((chancery, twin)[n % 2], person.email, code, f"{OTHER_PASSWORD} {n}") for n in range(16))
    )
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 15


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (
            {"email": "a@b.example", "code": "12345678", "new_password": "short"},
            "password-too-short",
            "/new_password",
        ),
        ({"email": "nobody", "code": "12345678", "new_password": PASSWORD}, "invalid-email", "/email"),
        ({"email": "a@b.example", "code": "", "new_password": PASSWORD}, "validation-failed", "/code"),
        ({"email": "a@b.example", "code": None, "new_password": PASSWORD}, "validation-failed", "/code"),
        ({"email": ["a@b.example"], "code": "1", "new_password": PASSWORD}, "validation-failed", "/email"),
    ],
)
async def test_abuse_h2_h6_bad_confirmations_say_what_to_change(
    chancery: Chancery, body: object, code: str, pointer: str
) -> None:
    answer = await chancery.command("POST", "/v1/password-resets/confirm", json=body)
    assert (answer.status_code, problem_code(answer)) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
