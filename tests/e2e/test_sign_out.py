"""Ending sessions, and being refused everywhere afterwards."""

import asyncio
from typing import Any

import pytest

from tests.support.chancery import OTHER_PASSWORD, Chancery, Person, bearer, problem_code


async def refused_everywhere(chancery: Chancery, person: Person) -> None:
    token = person.tokens["access_token"]
    await chancery.until_inactive(token)
    assert (await chancery.query("GET", "/v1/forward-auth", headers=person.bearer)).status_code == 401
    for path in ("/v1/me", "/v1/me/sessions", "/oauth/userinfo"):
        assert (await chancery.query("GET", path, headers=person.bearer)).status_code == 401
    changed = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json={"display_name": "x"})
    assert problem_code(changed) == "invalid-token"
    assert (await chancery.refresh(person.tokens["refresh_token"])).status_code == 400
    assert await chancery.introspect(person.tokens["refresh_token"]) == {"active": False}


async def test_signing_out_ends_the_session_everywhere_within_a_second(chancery: Chancery) -> None:
    person = await chancery.new_person()
    path = f"/v1/sessions/{person.tokens['session_id']}"
    answer = await chancery.command("DELETE", path, headers=person.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "chancery-position" in answer.headers
    await refused_everywhere(chancery, person)
    assert (await chancery.command("DELETE", path, headers=person.bearer)).status_code == 204


async def test_one_of_ones_other_sessions_can_be_ended(chancery: Chancery) -> None:
    person = await chancery.new_person()
    other = (await chancery.sign_in(person.email)).json()
    path = f"/v1/sessions/{other['session_id']}"
    for _ in range(2):
        assert (await chancery.command("DELETE", path, headers=person.bearer)).status_code == 204
    await chancery.until_inactive(other["access_token"])
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True


async def test_abuse_b11_i1_someone_elses_session_looks_like_none(chancery: Chancery) -> None:
    person, other = await chancery.new_person(), await chancery.new_person()
    foreign, absent = [
        await chancery.command("DELETE", f"/v1/sessions/{session_id}", headers=person.bearer)
        for session_id in (other.tokens["session_id"], "aaaaaaaaaaaaaaaaaaaaaaaaaa")
    ]
    assert (foreign.status_code, problem_code(foreign)) == (404, "session-not-found")
    assert foreign.content == absent.content
    assert (await chancery.introspect(other.tokens["access_token"]))["active"] is True


async def test_ending_all_others_keeps_the_present_one(chancery: Chancery) -> None:
    person = await chancery.new_person()
    others = [(await chancery.sign_in(person.email)).json() for _ in range(3)]
    answer = await chancery.command("DELETE", "/v1/sessions?except=current", headers=person.bearer)
    assert answer.status_code == 204
    for other in others:
        await chancery.until_inactive(other["access_token"])
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True
    assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204
    await refused_everywhere(chancery, person)


async def test_an_unknown_exception_is_a_422(chancery: Chancery) -> None:
    person = await chancery.new_person()
    answer = await chancery.command("DELETE", "/v1/sessions?except=none", headers=person.bearer)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/except")


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_a_token_takes_the_session_with_it(chancery: Chancery, kind: str) -> None:
    person = await chancery.new_person()
    answer = await chancery.command("POST", "/oauth/revoke", data={"token": person.tokens[kind]})
    assert answer.status_code == 200
    await refused_everywhere(chancery, person)
    again = await chancery.command("POST", "/oauth/revoke", data={"token": person.tokens[kind]})
    assert again.status_code == 200


async def test_revoking_an_unknown_token_is_fine_and_none_is_not(chancery: Chancery) -> None:
    known = await chancery.command("POST", "/oauth/revoke", data={"token": "nothing", "token_type_hint": "x"})
    assert known.status_code == 200
    missing = await chancery.command("POST", "/oauth/revoke", data={"token_type_hint": "x"})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


async def test_a_new_password_ends_all_other_sessions(chancery: Chancery) -> None:
    person = await chancery.new_person()
    other = (await chancery.sign_in(person.email)).json()
    body = {"current_password": person.password, "new_password": OTHER_PASSWORD}
    answer = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=body)
    assert answer.status_code == 204
    await chancery.until_inactive(other["access_token"])
    assert (await chancery.refresh(other["refresh_token"])).status_code == 400
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True
    assert (await chancery.sign_in(person.email)).status_code == 401
    assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 201


async def test_a_wrong_current_password_changes_nothing_and_counts(chancery: Chancery) -> None:
    person = await chancery.new_person()
    wrong = {"current_password": "something else entirely", "new_password": OTHER_PASSWORD}
    for _ in range(10):
        answer = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=wrong)
        assert (answer.status_code, problem_code(answer)) == (403, "wrong-password")
    assert (await chancery.sign_in(person.email)).status_code == 401
    right = {"current_password": person.password, "new_password": OTHER_PASSWORD}
    locked = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=right)
    assert locked.status_code == 403
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True


async def test_a_weak_new_password_points_to_its_field(chancery: Chancery) -> None:
    person = await chancery.new_person()
    body = {"current_password": person.password, "new_password": "too short"}
    answer = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/new_password")


async def test_two_password_changes_at_once_have_one_winner(chancery: Chancery, twin: Chancery) -> None:
    person = await chancery.new_person()
    bodies = [
        {"current_password": person.password, "new_password": f"{OTHER_PASSWORD} {n}"} for n in range(2)
    ]
    answers = await asyncio.gather(
        *(
            side.command("PUT", "/v1/me/password", headers=person.bearer, json=body)
            for side, body in zip((chancery, twin), bodies, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204, 403]
    winner = bodies[[answer.status_code for answer in answers].index(204)]
    assert (await chancery.sign_in(person.email, winner["new_password"])).status_code == 201


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer"}, bearer("x.y.z"), {"authorization": "Basic eDp5"}]
)
async def test_without_a_good_token_nothing_of_ones_own_answers(
    chancery: Chancery, headers: dict[str, str]
) -> None:
    calls: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("DELETE", "/v1/sessions", chancery.command, {}),
        ("DELETE", "/v1/sessions/x", chancery.command, {}),
        ("PATCH", "/v1/me", chancery.command, {"json": {}}),
        (
            "PUT",
            "/v1/me/password",
            chancery.command,
            {"json": {"current_password": "a", "new_password": "b"}},
        ),
        ("GET", "/v1/me", chancery.query, {}),
        ("GET", "/v1/me/sessions", chancery.query, {}),
        ("GET", "/oauth/userinfo", chancery.query, {}),
    ]
    for method, path, call, more in calls:
        answer = await call(method, path, headers=headers, **more)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
