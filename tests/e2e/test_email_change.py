"""Another e-mail address, and the way back, over HTTP. Addresses are random, so mostly in other partitions."""

import asyncio
import uuid

import httpx
import pytest

from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, Person, bearer, new_email, problem_code


async def ask(chancery: Chancery, person: Person, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"new_email": email, "password": password}
    return await chancery.command("POST", "/v1/me/email-changes", json=body, headers=person.bearer)


async def confirm(chancery: Chancery, person: Person, code: str, **headers: str) -> httpx.Response:
    path = "/v1/me/email-changes/confirm"
    return await chancery.command("POST", path, json={"code": code}, headers={**person.bearer, **headers})


async def undo(chancery: Chancery, code: str) -> httpx.Response:
    return await chancery.command("POST", "/v1/email-changes/undo", json={"code": code})


async def moved(chancery: Chancery) -> tuple[Person, str]:
    """Somebody who has another address now, and what it is."""
    person, email = await chancery.new_person(), new_email()
    assert (await ask(chancery, person, email)).status_code == 202
    answer = await confirm(chancery, person, await chancery.code_for(email))
    assert answer.status_code == 204, answer.text
    return person, email


async def undo_code(chancery: Chancery, email: str, count: int = 2) -> str:
    code = await chancery.code_for(email, count)
    assert code.startswith("cuc_")
    return code


async def test_a_new_address_replaces_the_old_one_everywhere(chancery: Chancery, twin: Chancery) -> None:
    for _ in range(4):
        person, email = await chancery.new_person(), new_email()
        other = (await chancery.sign_in(person.email)).json()
        asked = await ask(chancery, person, email)
        assert (asked.status_code, asked.json()) == (202, {"status": "verification_sent"})
        assert "chancery-position" in asked.headers
        answer = await confirm(chancery, person, await chancery.code_for(email))
        assert answer.status_code == 204
        at = {"chancery-min-position": answer.headers["chancery-position"]}
        me = (await chancery.query("GET", "/v1/me", headers={**person.bearer, **at})).json()
        assert (me["email"], me["email_verified"]) == (email, True)
        assert (await twin.sign_in(email)).json()["account_id"] == person.account_id
        old = await twin.sign_in(person.email)
        assert (old.status_code, old.content) == (401, (await chancery.sign_in(new_email())).content)
        await chancery.until_inactive(other["access_token"])


async def test_a_reset_goes_to_the_new_address_only(chancery: Chancery) -> None:
    person, email = await moved(chancery)
    for address in (person.email, email):
        await chancery.command("POST", "/v1/password-resets", json={"email": address})
    body = {"email": email, "code": await chancery.code_for(email, 2), "new_password": OTHER_PASSWORD}
    assert (await chancery.command("POST", "/v1/password-resets/confirm", json=body)).status_code == 204
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 201
    assert len(await chancery.mails_to(person.email, 2)) == 2


async def test_abuse_c1_a_taken_address_gets_no_mail_and_the_same_answer(chancery: Chancery) -> None:
    person, owner = await chancery.new_person(), await chancery.new_person()
    free, taken = await ask(chancery, person, new_email()), await ask(chancery, person, owner.email)
    assert (free.status_code, free.content) == (taken.status_code, taken.content) == (202, free.content)
    assert set(free.headers) == set(taken.headers)
    refused = await confirm(chancery, person, "12345678")
    assert (refused.status_code, problem_code(refused)) == (400, "invalid-code")
    assert len(await chancery.mails_to(owner.email)) == 1


async def test_an_address_that_was_taken_meanwhile_is_refused_at_the_end(chancery: Chancery) -> None:
    people, email = [await chancery.new_person() for _ in range(2)], new_email()
    for person in people:
        await ask(chancery, person, email)
    codes = [await chancery.code_for(email, n) for n in (1, 2)]
    answers = await asyncio.gather(
        *(confirm(chancery, person, code) for person, code in zip(people, codes, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [204, 400]
    assert (await chancery.sign_in(email)).status_code == 201


async def test_a_wrong_password_is_a_403_and_a_used_or_wrong_code_a_400(chancery: Chancery) -> None:
    person = await chancery.new_person()
    refused = await ask(chancery, person, new_email(), OTHER_PASSWORD)
    assert (refused.status_code, problem_code(refused)) == (403, "wrong-password")
    email = new_email()
    await ask(chancery, person, email)
    code = await chancery.code_for(email)
    answers = [await confirm(chancery, person, "abc"), await confirm(chancery, person, "00000000")]
    assert (await confirm(chancery, person, code)).status_code == 204
    answers.append(await confirm(chancery, person, code))
    assert {(a.status_code, a.content) for a in answers} == {(400, answers[0].content)}


async def test_a_repeated_confirmation_gets_the_same_answer(chancery: Chancery, twin: Chancery) -> None:
    person, email = await chancery.new_person(), new_email()
    await ask(chancery, person, email)
    code, key = await chancery.code_for(email), {"idempotency-key": str(uuid.uuid4())}
    answers = [await confirm(side, person, code, **key) for side in (chancery, twin, chancery)]
    assert {(a.status_code, a.headers.get("chancery-position")) for a in answers} == {
        (204, answers[0].headers["chancery-position"])
    }


async def test_a_waiting_sign_up_is_dropped_by_a_change_and_a_held_address_is_taken(
    chancery: Chancery,
) -> None:
    person, email = await chancery.new_person(), new_email()
    await chancery.sign_up(email, OTHER_PASSWORD)
    code = await chancery.code_for(email)
    await ask(chancery, person, email)
    assert (await confirm(chancery, person, await chancery.code_for(email, 2))).status_code == 204
    assert (await chancery.verify(email, code)).status_code == 400
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 401
    for address in (email, person.email):
        assert (await chancery.sign_up(address)).status_code == 202
    assert "already" in (await chancery.mails_to(email, 3))[2].text


async def test_undo_restores_the_old_address_and_ends_every_session(chancery: Chancery) -> None:
    person, email = await moved(chancery)
    thief = (await chancery.sign_in(email)).json()
    code = await undo_code(chancery, person.email)
    answer = await undo(chancery, code)
    assert answer.status_code == 204
    for token in (person.tokens["access_token"], thief["access_token"]):
        await chancery.until_inactive(token)
    assert (await chancery.sign_in(email)).status_code == 401
    tokens = (await chancery.sign_in(person.email)).json()
    at = {"chancery-min-position": tokens["position"]}
    me = await chancery.query("GET", "/v1/me", headers={**bearer(tokens["access_token"]), **at})
    assert me.json()["email"] == person.email
    used = await undo(chancery, code)
    assert (used.status_code, problem_code(used)) == (400, "invalid-code")
    await chancery.sign_up(email, OTHER_PASSWORD)
    await until_free(chancery, email)


async def until_free(chancery: Chancery, email: str) -> None:
    """Somebody else can have the address, within moments."""
    async with asyncio.timeout(10):
        while (await chancery.sign_in(email, OTHER_PASSWORD)).status_code != 201:
            await chancery.sign_up(email, OTHER_PASSWORD)
            await asyncio.sleep(0.2)  # between two looks, within the timeout above
            for mail in (await chancery.mails_to(email))[1:]:
                await chancery.verify(email, mail.code)


async def test_one_changes_back_to_an_address_that_is_still_held(chancery: Chancery) -> None:
    person, email = await moved(chancery)
    assert (await ask(chancery, person, person.email)).status_code == 202
    code = await chancery.code_for(person.email, 3)
    assert (await confirm(chancery, person, code)).status_code == 204
    assert (await chancery.sign_in(person.email)).status_code == 201
    assert (await chancery.sign_in(email)).status_code == 401
    assert (await undo(chancery, await undo_code(chancery, email))).status_code == 204


@pytest.mark.parametrize("code", ["12345678", "cuc_", "cuc_" + "A" * 64, "é", "x" * 500])
async def test_a_made_up_undo_code_is_refused(chancery: Chancery, code: str) -> None:
    answer = await undo(chancery, code)
    assert (answer.status_code, problem_code(answer)) == (400, "invalid-code")


async def test_without_a_session_nothing_is_changed(chancery: Chancery) -> None:
    body = {"new_email": new_email(), "password": PASSWORD}
    answer = await chancery.command("POST", "/v1/me/email-changes", json=body)
    assert (answer.status_code, problem_code(answer)) == (401, "missing-token")
    person = await chancery.new_person()
    odd = await ask(chancery, person, "nobody")
    assert (odd.status_code, odd.json()["errors"][0]["pointer"]) == (422, "/new_email")
    await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)
    assert problem_code(await ask(chancery, person, new_email())) == "invalid-token"
