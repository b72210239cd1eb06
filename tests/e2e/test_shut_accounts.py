"""Accounts that their owner closes, and that an administrator disables, over HTTP."""

import httpx
import pytest

from events.streams import new_id
from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, Person, bearer, problem_code


async def close(chancery: Chancery, person: Person, password: str = PASSWORD) -> httpx.Response:
    return await chancery.command("DELETE", "/v1/me", json={"password": password}, headers=person.bearer)


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> dict[str, str]:
    made = await chancery.new_client("chancery.admin")
    grant = await chancery.command(
        "POST",
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(made["client_id"], made["client_secret"]),
    )
    return bearer(grant.json()["access_token"])


async def act(chancery: Chancery, admin: dict[str, str], account_id: str, verb: str) -> httpx.Response:
    return await chancery.command("POST", f"/v1/admin/accounts/{account_id}/{verb}", headers=admin)


async def test_a_closed_account_is_shut_at_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await chancery.command("POST", "/v1/password-resets", json={"email": person.email})
    code = await chancery.code_for(person.email, 2)
    answer = await close(chancery, person)
    assert answer.status_code == 202
    assert set(answer.json()) == {"status", "erase_after", "position"}
    await chancery.until_inactive(person.tokens["access_token"])
    assert (await chancery.refresh(person.tokens["refresh_token"])).status_code == 400
    refused = await chancery.sign_in(person.email)
    assert (refused.status_code, problem_code(refused)) == (401, "invalid-credentials")
    body = {"email": person.email, "code": code, "new_password": OTHER_PASSWORD}
    assert (await chancery.command("POST", "/v1/password-resets/confirm", json=body)).status_code == 400
    assert problem_code(await close(chancery, person)) == "invalid-token"
    assert (await chancery.sign_up(person.email)).status_code == 202
    assert (await chancery.sign_in(person.email)).status_code == 401


async def test_closing_takes_the_password(chancery: Chancery) -> None:
    person = await chancery.new_person()
    refused = await close(chancery, person, OTHER_PASSWORD)
    assert (refused.status_code, problem_code(refused)) == (403, "wrong-password")
    empty = await chancery.command("DELETE", "/v1/me", headers=person.bearer)
    assert empty.status_code == 415
    assert (await chancery.sign_in(person.email)).status_code == 201


async def test_a_disabled_account_opens_nothing_until_it_is_enabled(
    chancery: Chancery, admin: dict[str, str]
) -> None:
    person = await chancery.new_person()
    unknown = await chancery.sign_in("nobody@example.com")
    for _ in range(2):
        answer = await act(chancery, admin, person.account_id, "disable")
        assert answer.status_code == 204
        assert "chancery-position" in answer.headers
    await chancery.until_inactive(person.tokens["access_token"])
    refused = await chancery.sign_in(person.email)
    assert (refused.status_code, refused.content) == (401, unknown.content)
    assert (await chancery.refresh(person.tokens["refresh_token"])).status_code == 400
    asked = await chancery.command("POST", "/v1/password-resets", json={"email": person.email})
    assert asked.status_code == 202
    assert (await act(chancery, admin, person.account_id, "enable")).status_code == 204
    assert await chancery.introspect(person.tokens["access_token"]) == {"active": False}
    assert (await chancery.sign_in(person.email)).status_code == 201
    assert len(await chancery.mails_to(person.email)) == 1


async def test_an_administrator_unlocks_and_signs_out(chancery: Chancery, admin: dict[str, str]) -> None:
    person = await chancery.new_person()
    for _ in range(10):
        await chancery.sign_in(person.email, OTHER_PASSWORD)
    assert (await chancery.sign_in(person.email)).status_code == 401
    assert (await act(chancery, admin, person.account_id, "unlock")).status_code == 204
    tokens = (await chancery.sign_in(person.email)).json()
    assert (await act(chancery, admin, person.account_id, "sign-out")).status_code == 204
    for token in (person.tokens["access_token"], tokens["access_token"]):
        await chancery.until_inactive(token)


async def test_a_closed_account_cannot_be_enabled(chancery: Chancery, admin: dict[str, str]) -> None:
    person = await chancery.new_person()
    await close(chancery, person)
    refused = await act(chancery, admin, person.account_id, "enable")
    assert (refused.status_code, problem_code(refused)) == (409, "account-closed")


@pytest.mark.parametrize("verb", ["disable", "enable", "unlock", "sign-out"])
async def test_abuse_i4_accounts_that_are_not_there_and_callers_that_may_not(
    chancery: Chancery, admin: dict[str, str], verb: str
) -> None:
    for account_id in (new_id(), "x", "a" * 27, "%00", "A" * 26):
        unknown = await act(chancery, admin, account_id, verb)
        assert (unknown.status_code, problem_code(unknown)) == (404, "account-not-found"), account_id
    person = await chancery.new_person()
    assert (await act(chancery, person.bearer, person.account_id, verb)).status_code == 403
    assert (await act(chancery, {}, person.account_id, verb)).status_code == 401
