"""The query side: introspection, gateways, one's own account, metadata, and reads that wait."""

import asyncio
import re
import time

import jwt
import pytest

from tests.support.chancery import Chancery, Person, bearer, problem_code

ACCESS_MEMBERS = {
    "active", "sub", "sid", "client_id", "scope", "exp", "iat", "iss", "aud", "jti", "token_type", "acr", "amr",
}  # fmt: skip


async def test_an_active_access_token_shows_the_documented_members(chancery: Chancery) -> None:
    person = await chancery.new_person()
    content = await chancery.introspect(person.tokens["access_token"])
    assert set(content) == ACCESS_MEMBERS
    assert (content["sub"], content["sid"]) == (person.account_id, person.tokens["session_id"])


async def test_a_refresh_token_can_be_introspected_until_it_rotates(chancery: Chancery) -> None:
    person = await chancery.new_person()
    at = {"chancery-min-position": person.tokens["position"]}
    content = await chancery.introspect(person.tokens["refresh_token"], **at)
    assert (content["active"], content["token_type"]) == (True, "refresh_token")
    assert content["sid"] == person.tokens["session_id"]
    rotated = (await chancery.refresh(person.tokens["refresh_token"])).json()
    at = {"chancery-min-position": rotated["position"]}
    assert await chancery.introspect(person.tokens["refresh_token"], **at) == {"active": False}
    assert (await chancery.introspect(rotated["refresh_token"], **at))["active"] is True


async def test_abuse_l1_a_read_at_the_logouts_position_knows_of_it(chancery: Chancery) -> None:
    for _ in range(10):
        person = await chancery.new_person()
        path = f"/v1/sessions/{person.tokens['session_id']}"
        ended = await chancery.command("DELETE", path, headers=person.bearer)
        at = {"chancery-min-position": ended.headers["chancery-position"]}
        assert await chancery.introspect(person.tokens["access_token"], **at) == {"active": False}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.b.c.d.e", "x" * 9000, "\u00e4", "crt_x"])
async def test_abuse_a15_what_is_no_token_is_inactive(chancery: Chancery, token: str) -> None:
    answer = await chancery.query("POST", "/oauth/introspect", auth=chancery.basic, data={"token": token})
    assert answer.status_code == (200 if token else 400)
    assert answer.json() == {"active": False} if token else "error" in answer.json()


async def test_abuse_i3_introspection_needs_a_client_with_the_scope(chancery: Chancery) -> None:
    plain = await chancery.new_client("reports.read")
    data = {"token": "x"}
    for auth, status, error in (
        (None, 401, "invalid_client"),
        ((plain["client_id"], "wrong"), 401, "invalid_client"),
        (("nobody", "x"), 401, "invalid_client"),
        ((plain["client_id"], plain["client_secret"]), 403, "insufficient_scope"),
    ):
        answer = await chancery.query("POST", "/oauth/introspect", auth=auth, data=data)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert (
        "basic"
        in (await chancery.query("POST", "/oauth/introspect", data=data)).headers["www-authenticate"].lower()
    )


async def test_a_client_may_send_its_secret_in_the_body(chancery: Chancery) -> None:
    data = {**chancery.client, "token": "x"}
    assert (await chancery.query("POST", "/oauth/introspect", data=data)).json() == {"active": False}


async def test_a_machine_client_gets_a_token_and_gives_it_up(chancery: Chancery) -> None:
    client = await chancery.new_client("reports.read,reports.write", "reports")
    basic = (client["client_id"], client["client_secret"])
    form = {"grant_type": "client_credentials", "scope": "reports.read"}
    answer = await chancery.command("POST", "/oauth/token", data=form, auth=basic)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope", "position"}
    token = answer.json()["access_token"]
    content = await chancery.introspect(token)
    assert (content["active"], content["scope"], content["aud"]) == (True, "reports.read", "reports")
    assert "sid" not in content
    for auth in (None, chancery.basic, (basic[0], "wrong")):
        answer = await chancery.command("POST", "/oauth/revoke", data={"token": token}, auth=auth)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert (
        await chancery.command("POST", "/oauth/revoke", data={"token": token}, auth=basic)
    ).status_code == 200
    await chancery.until_inactive(token)


async def test_a_machine_client_gets_no_scope_it_does_not_have(chancery: Chancery) -> None:
    basic = chancery.basic
    form = {"grant_type": "client_credentials", "scope": "chancery.admin"}
    answer = await chancery.command("POST", "/oauth/token", data=form, auth=basic)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    wrong = await chancery.command("POST", "/oauth/token", data=form, auth=(basic[0], "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")


async def test_abuse_a11_a_machines_token_is_no_persons(chancery: Chancery) -> None:
    form = {"grant_type": "client_credentials"}
    token = (await chancery.command("POST", "/oauth/token", data=form, auth=chancery.basic)).json()[
        "access_token"
    ]
    assert (await chancery.query("GET", "/v1/me", headers=bearer(token))).status_code == 401
    assert (await chancery.command("DELETE", "/v1/sessions", headers=bearer(token))).status_code == 401
    gateway = await chancery.query("GET", "/v1/forward-auth", headers=bearer(token))
    assert gateway.headers["x-auth-client"] == chancery.client["client_id"]
    assert "x-auth-account" not in gateway.headers


async def test_abuse_a11_a_refresh_token_opens_nothing(chancery: Chancery) -> None:
    person = await chancery.new_person()
    headers = bearer(person.tokens["refresh_token"])
    assert (await chancery.query("GET", "/v1/forward-auth", headers=headers)).status_code == 401
    assert (await chancery.query("GET", "/v1/me", headers=headers)).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/forward-auth", "/v1/forward-auth/any/path?q=1"])
async def test_abuse_k6_gateways_may_ask_in_any_way(
    chancery: Chancery, asked: Person, method: str, path: str
) -> None:
    allowed = await chancery.query(method, path, headers=asked.bearer)
    assert allowed.status_code == 200
    assert allowed.headers["x-auth-account"] == asked.account_id
    assert allowed.headers["x-auth-session"] == asked.tokens["session_id"]
    assert allowed.headers["x-auth-scopes"] == "openid profile email"
    denied = await chancery.query(method, path, headers={"x-forwarded-uri": "/public"})
    assert denied.status_code == 401
    assert "www-authenticate" in denied.headers


@pytest.fixture(scope="module")
async def asked(chancery: Chancery) -> Person:
    return await chancery.new_person()


async def test_one_sees_the_own_account(chancery: Chancery) -> None:
    person = await chancery.new_person(display_name="  Ada Lovelace ")
    at = {"chancery-min-position": person.tokens["position"]}
    answer = await chancery.query("GET", "/v1/me", headers={**person.bearer, **at})
    content = answer.json()
    assert content.pop("created_at").endswith("Z")
    assert content == {
        "account_id": person.account_id,
        "email": person.email,
        "email_verified": True,
        "display_name": "Ada Lovelace",
        "factors": [],
    }
    assert answer.headers["cache-control"] == "no-store"
    partition, seq = (int(part) for part in person.tokens["position"].split(":"))
    shown = dict(one.split(":") for one in answer.headers["chancery-position"].split(","))
    assert int(shown[str(partition)]) >= seq


async def test_a_changed_name_is_seen_at_its_position(chancery: Chancery) -> None:
    person = await chancery.new_person()
    changed = await chancery.command(
        "PATCH", "/v1/me", headers=person.bearer, json={"display_name": "Countess"}
    )
    assert (changed.status_code, changed.content) == (204, b"")
    at = {"chancery-min-position": changed.headers["chancery-position"]}
    me = await chancery.query("GET", "/v1/me", headers={**person.bearer, **at})
    assert me.json()["display_name"] == "Countess"
    nothing = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json={})
    assert nothing.status_code == 204
    for body in ({"display_name": None}, {"display_name": ""}, {"email": "x@y.example"}):
        refused = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json=body)
        assert refused.status_code == 422


async def test_userinfo_speaks_openid(chancery: Chancery) -> None:
    person = await chancery.new_person(display_name="Ada")
    expected = {"sub": person.account_id, "email": person.email, "email_verified": True, "name": "Ada"}
    for method in ("GET", "POST"):
        assert (await chancery.query(method, "/oauth/userinfo", headers=person.bearer)).json() == expected
    narrow = (await chancery.refresh(person.tokens["refresh_token"], scope="openid")).json()
    answer = await chancery.query("GET", "/oauth/userinfo", headers=bearer(narrow["access_token"]))
    assert answer.json() == {"sub": person.account_id}


async def test_one_sees_the_own_sessions_newest_first(chancery: Chancery) -> None:
    person = await chancery.new_person()
    second = (await chancery.sign_in(person.email, headers={"user-agent": "second device"})).json()
    at = {"chancery-min-position": second["position"]}
    answer = await chancery.query("GET", "/v1/me/sessions", headers={**person.bearer, **at})
    sessions = answer.json()["sessions"]
    assert [s["session_id"] for s in sessions] == [second["session_id"], person.tokens["session_id"]]
    assert [s["current"] for s in sessions] == [False, True]
    assert set(sessions[0]) == {"session_id", "created_at", "last_seen_at", "ip", "user_agent", "current"}
    assert (sessions[0]["user_agent"], sessions[0]["ip"]) == ("second device", "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "cached"),
    [
        ("/.well-known/jwks.json", r"public, max-age=\d+"),
        ("/.well-known/openid-configuration", "public, max-age=300"),
        ("/.well-known/oauth-authorization-server", "public, max-age=300"),
    ],
)
async def test_who_has_keys_and_metadata_already_is_told_so(
    chancery: Chancery, path: str, cached: str
) -> None:
    first = await chancery.query("GET", path)
    assert re.fullmatch(cached, first.headers["cache-control"])
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await chancery.query("GET", path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert re.fullmatch(cached, again.headers["cache-control"])
    other = await chancery.query("GET", path, headers={"if-none-match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_any_jwt_library_verifies_with_the_published_keys(chancery: Chancery) -> None:
    person = await chancery.new_person()
    metadata = (await chancery.query("GET", "/.well-known/openid-configuration")).json()
    assert metadata == (await chancery.query("GET", "/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == chancery.query_url
    assert metadata["token_endpoint"] == chancery.command_url + "/oauth/token"
    assert "none" in metadata["token_endpoint_auth_methods_supported"]
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA", "RS256"]
    answer = await chancery.http.get(metadata["jwks_uri"])
    token = person.tokens["access_token"]
    key_set = jwt.PyJWKSet.from_dict(answer.json())
    key = key_set[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="chancery", issuer=metadata["issuer"])
    assert claims["sub"] == person.account_id
    assert not {"d", "p", "q"} & set().union(*answer.json()["keys"])


@pytest.mark.parametrize("position", ["x", "0", "0:", ":1", "99:1", "0:-1", "0:1,x", "0:1;1:1", "0:1e3"])
async def test_a_malformed_position_is_refused(chancery: Chancery, asked: Person, position: str) -> None:
    headers = {**asked.bearer, "chancery-min-position": position}
    answer = await chancery.query("GET", "/v1/me", headers=headers)
    assert (answer.status_code, problem_code(answer)) == (400, "bad-position")


async def test_a_read_waits_no_longer_than_it_is_told(chancery: Chancery, asked: Person) -> None:
    headers = {**asked.bearer, "chancery-min-position": "0:999999999", "prefer": "wait=1"}
    began = time.monotonic()
    answer = await chancery.query("GET", "/v1/me", headers=headers)
    assert 0.9 < time.monotonic() - began < 3
    assert (answer.status_code, problem_code(answer)) == (503, "projection-behind")
    assert "retry-after" in answer.headers


async def test_many_reads_wait_for_one_write_without_being_in_each_others_way(chancery: Chancery) -> None:
    person = await chancery.new_person()

    async def rename(n: int) -> str:
        body = {"display_name": f"Ada {n}"}
        answer = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json=body)
        return answer.headers["chancery-position"]

    async def read(position: str) -> int:
        headers = {**person.bearer, "chancery-min-position": position, "prefer": "wait=10"}
        return (await chancery.query("GET", "/v1/me", headers=headers)).status_code

    positions = [await rename(n) for n in range(5)]
    assert set(await asyncio.gather(*(read(p) for p in positions * 8))) == {200}
