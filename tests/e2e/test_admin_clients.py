"""Machine clients over HTTP: made, given new secrets, deleted, and who may do that."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from events.streams import new_id
from tests.support.admins import BODY, CLIENTS, Admin, grant, new_admin, token_of
from tests.support.chancery import Chancery, Person, bearer, problem_code


@pytest.fixture
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


async def forward(chancery: Chancery, token: str) -> int:
    return (await chancery.query("GET", "/v1/forward-auth", headers=bearer(token))).status_code


async def test_a_new_client_is_told_its_secret_once_and_may_use_it(chancery: Chancery, admin: Admin) -> None:
    answer = await admin.ask(
        "POST", CLIENTS, json={"name": "billing", "scopes": ["chancery.introspect", "b"]}
    )
    made = answer.json()
    assert (answer.status_code, list(made)) == (201, ["client_id", "client_secret", "position"])
    assert answer.headers["chancery-position"] == made["position"]
    assert answer.headers["cache-control"] == "no-store"
    token = await token_of(chancery, made)
    await chancery.until_known(made)
    seen = await replace(chancery, client=made).introspect(token)
    assert (seen["active"], seen["sub"], seen["scope"]) == (True, made["client_id"], "chancery.introspect b")


async def test_a_clients_tokens_are_for_its_audiences(chancery: Chancery, admin: Admin) -> None:
    made = await admin.register(audiences=["https://api.example.com", "b"])
    seen = await chancery.introspect(await token_of(chancery, made))
    assert seen["aud"] == ["https://api.example.com", "b"]


async def test_a_repeated_registration_gets_the_same_client_and_secret(
    chancery: Chancery, admin: Admin
) -> None:
    key = {"idempotency-key": new_id()}
    first = await admin.ask("POST", CLIENTS, json=BODY, headers=key)
    second = await admin.ask("POST", CLIENTS, json=BODY, headers=key)
    assert (first.status_code, first.content) == (201, second.content)
    other = await admin.ask("POST", CLIENTS, json={**BODY, "name": "other"}, headers=key)
    assert (other.status_code, problem_code(other)) == (422, "idempotency-key-reused")
    path = f"{CLIENTS}/{first.json()['client_id']}/secrets"
    added = await admin.ask("POST", path, headers=key)
    assert (await admin.ask("POST", path, headers=key)).content == added.content
    assert added.json()["client_secret"] != first.json()["client_secret"]
    assert (await grant(chancery, first.json())).status_code == 200


async def test_two_secrets_live_and_the_third_ends_the_oldest(chancery: Chancery, admin: Admin) -> None:
    made = [await admin.register()]
    path = f"{CLIENTS}/{made[0]['client_id']}/secrets"
    for alive in ([True, True], [False, True, True]):
        answer = await admin.ask("POST", path)
        assert (answer.status_code, list(answer.json())) == (201, ["client_id", "client_secret", "position"])
        made.append(answer.json())
        assert [(await grant(chancery, one)).status_code == 200 for one in made] == alive
    await chancery.until_known(made[2])
    asked = [
        await chancery.query(
            "POST", "/oauth/introspect", auth=(one["client_id"], one["client_secret"]), data={"token": "x"}
        )
        for one in made
    ]
    assert [answer.status_code for answer in asked] == [401, 200, 200]


async def test_a_deleted_client_is_refused_everywhere(chancery: Chancery, admin: Admin) -> None:
    made = await admin.register()
    token = await token_of(chancery, made)
    assert (await chancery.introspect(token))["active"]
    assert await forward(chancery, token) == 200
    answer = await admin.ask("DELETE", f"{CLIENTS}/{made['client_id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused = await grant(chancery, made)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert await chancery.until_inactive(token) < 1
    assert await forward(chancery, token) == 401
    at_position = {"chancery-min-position": answer.headers["chancery-position"]}
    assert await chancery.introspect(token, **at_position) == {"active": False}
    own = await chancery.query(
        "POST", "/oauth/introspect", auth=(made["client_id"], made["client_secret"]), data={"token": "x"}
    )
    assert own.status_code == 401


async def test_deleting_twice_is_the_same_as_once(admin: Admin) -> None:
    path = f"{CLIENTS}/{(await admin.register())['client_id']}"
    assert [(await admin.ask("DELETE", path)).status_code for _ in range(2)] == [204, 204]
    secret = await admin.ask("POST", path + "/secrets")
    assert (secret.status_code, problem_code(secret)) == (404, "client-not-found")


@pytest.mark.parametrize("client_id", [new_id(), "x", "a" * 300, "..", "%00", "chancery"])
async def test_a_client_that_never_was_is_not_found(admin: Admin, client_id: str) -> None:
    for method, path in (("DELETE", f"{CLIENTS}/{client_id}"), ("POST", f"{CLIENTS}/{client_id}/secrets")):
        answer = await admin.ask(method, path)
        assert answer.status_code in (404, 405)
        assert problem_code(answer) in ("client-not-found", "not-found", "method-not-allowed")


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": 3}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["a b"]}, "/scopes"),
        ({"scopes": ["x" * 1001]}, "/scopes"),
        ({"scopes": "a"}, "/scopes"),
        ({"scopes": [1]}, "/scopes/0"),
        ({"audiences": ["a b"]}, "/audiences"),
        ({"audiences": [""]}, "/audiences"),
        ({"audiences": None}, "/audiences"),
        ({"client_id": "mine"}, "/client_id"),
        ({"client_secret": "mine"}, "/client_secret"),
    ],
)
async def test_a_body_of_another_shape_is_refused_with_a_pointer(
    admin: Admin, more: dict[str, Any], pointer: str
) -> None:
    answer = await admin.ask("POST", CLIENTS, json={**BODY, **more})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


CALLS = [("POST", CLIENTS), ("DELETE", f"{CLIENTS}/{new_id()}"), ("POST", f"{CLIENTS}/{new_id()}/secrets")]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_abuse_i4_only_a_living_client_with_the_scope_may_administrate(
    chancery: Chancery, admin: Admin, method: str, path: str
) -> None:
    body = {"json": BODY} if path == CLIENTS else {}

    async def tried(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else bearer(token)
        answer = await chancery.command(method, path, headers=headers, **body)
        return answer.status_code, problem_code(answer)

    person = await chancery.new_person()
    narrow = await token_of(chancery, admin.client, scope="chancery.introspect")
    elsewhere = await new_admin(chancery, "https://api.example.com")
    assert await tried(None) == (401, "missing-token")
    assert await tried("x.y.z") == (401, "invalid-token")
    assert await tried(person.tokens["refresh_token"]) == (401, "invalid-token")
    assert await tried(admin.token[:-2]) == (401, "invalid-token")
    assert await tried(elsewhere.token) == (401, "invalid-token")
    assert await tried(person.tokens["access_token"]) == (403, "insufficient-scope")
    assert await tried(narrow) == (403, "insufficient-scope")


async def test_the_missing_scope_is_named_in_the_challenge(chancery: Chancery, admin: Admin) -> None:
    narrow = await token_of(chancery, admin.client, scope="chancery.introspect")
    answer = await chancery.command("POST", CLIENTS, headers=bearer(narrow), json=BODY)
    challenge = 'Bearer error="insufficient_scope", scope="chancery.admin"'
    assert answer.headers["www-authenticate"] == challenge


async def test_a_given_up_token_administrates_no_more(chancery: Chancery, admin: Admin) -> None:
    basic = (admin.client["client_id"], admin.client["client_secret"])
    given_up = await chancery.command("POST", "/oauth/revoke", auth=basic, data={"token": admin.token})
    assert given_up.status_code == 200
    answer = await admin.ask("POST", CLIENTS, json=BODY)
    assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")
    fresh = replace(admin, token=await token_of(chancery, admin.client))
    assert (await fresh.register())["client_id"]


async def test_an_administrator_may_delete_itself_and_is_nobody_then(
    chancery: Chancery, twin: Chancery
) -> None:
    admin = await new_admin(chancery)
    assert (await admin.ask("DELETE", f"{CLIENTS}/{admin.client['client_id']}")).status_code == 204
    for process in (chancery, twin):
        answer = await replace(admin, chancery=process).ask("POST", CLIENTS, json=BODY)
        assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")


async def test_a_person_cannot_pass_for_a_client(chancery: Chancery, admin: Admin) -> None:
    """The same claims without a signature of ours are worth nothing."""
    person: Person = await chancery.new_person()
    header, payload, signature = person.tokens["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims |= {"scope": "chancery.admin", "client_id": admin.client["client_id"]}
    claims.pop("sid")
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    answer = await replace(admin, token=f"{header}.{forged}.{signature}").ask("POST", CLIENTS, json=BODY)
    assert answer.status_code == 401
