"""Nothing that a client sends yields a 5xx, and every error has its documented shape."""

import asyncio
import json

import pytest

from events.streams import new_id
from tests.support.admins import Admin, new_admin
from tests.support.authenticator_app import App, answer_challenge, challenged
from tests.support.chancery import PASSWORD, Chancery, Person, bearer, problem_code

JSON_CALLS = [
    ("POST", "/v1/accounts"),
    ("POST", "/v1/email-verifications"),
    ("POST", "/v1/email-verifications/resend"),
    ("POST", "/v1/sessions"),
    ("PUT", "/v1/me/password"),
    ("PATCH", "/v1/me"),
    ("DELETE", "/v1/me"),
    ("POST", "/v1/password-resets"),
    ("POST", "/v1/password-resets/confirm"),
    ("POST", "/v1/me/email-changes"),
    ("POST", "/v1/me/email-changes/confirm"),
    ("POST", "/v1/email-changes/undo"),
    ("POST", "/v1/sessions/challenge"),
    ("POST", "/v1/me/factors/totp/confirm"),
    ("DELETE", "/v1/me/factors/totp"),
    ("POST", "/v1/me/recovery-codes"),
    ("POST", "/v1/me/passkeys"),
    ("POST", "/v1/passkey-sessions"),
]
BODILESS_CALLS = [
    ("POST", "/v1/me/factors/totp", 201),
    ("POST", "/v1/me/passkeys/options", 200),
    ("DELETE", f"/v1/me/passkeys/{new_id()}", 404),
    ("POST", "/v1/passkey-sessions/options", 200),
    ("DELETE", "/v1/sessions", 204),
    ("DELETE", f"/v1/sessions/{new_id()}", 404),
    *(
        ("POST", f"/v1/admin/accounts/{new_id()}/{act}", 404)
        for act in ("disable", "enable", "unlock", "sign-out")
    ),
    ("POST", f"/v1/admin/clients/{new_id()}/secrets", 404),
    ("DELETE", f"/v1/admin/clients/{new_id()}", 404),
]
"""And what they answer to somebody who may ask, where nothing has the id."""
ROTATION = ("POST", "/v1/admin/signing-keys/rotate", 200)
FORM_CALLS = [("command", "/oauth/token"), ("command", "/oauth/revoke"), ("query", "/oauth/introspect")]
MALFORMED = [
    b"",
    b"{",
    b'{"email":NaN}',
    b'{"email":Infinity}',
    b'{"email":-Infinity}',
    b'{"email":1e400}',
    b'{"email":"\\ud800"}',
    b'{"\\udfff":1}',
    b'{"email":"a\\u0000b"}',
    b'{"email":"a","email":"b"}',
    b"\xef\xbb\xbf{}",
    '{"email":"a"}'.encode("utf-16"),
    b'{"email":"\xff"}',
    b"[" * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"email":' + b"9" * 5_000 + b"}",
    b'{"email":"a"} {}',
    b"{'email':'a'}",
    b'{"email":"a",}',
]
ODD = [
    b"null",
    b"true",
    b"3",
    b'"text"',
    b"[]",
    b"{}",
    b'{"email":{"$ne":null}}',
    b'{"email":[1,2]}',
    b'{"__proto__":1}',
]


@pytest.fixture(scope="module")
async def person(chancery: Chancery) -> Person:
    return await chancery.new_person()


@pytest.mark.parametrize(("method", "path"), JSON_CALLS)
async def test_abuse_j1_malformed_json_is_a_400_everywhere(
    chancery: Chancery, person: Person, method: str, path: str
) -> None:
    headers = {**person.bearer, "content-type": "application/json"}
    for body in MALFORMED:
        answer = await chancery.command(method, path, content=body, headers=headers)
        expected = {400, 422} if body == b"" else {400}
        assert answer.status_code in expected, body[:40]
        assert problem_code(answer) in {"malformed-json", "validation-failed"}


@pytest.mark.parametrize(("method", "path"), JSON_CALLS)
async def test_json_of_another_shape_is_a_422_everywhere(
    chancery: Chancery, person: Person, method: str, path: str
) -> None:
    headers = {**person.bearer, "content-type": "application/json; charset=utf-8"}
    for body in ODD:
        answer = await chancery.command(method, path, content=body, headers=headers)
        if (method, path, body) == ("PATCH", "/v1/me", b"{}"):
            assert answer.status_code == 204
            continue
        assert (answer.status_code, problem_code(answer)) == (422, "validation-failed"), body
        assert all(set(error) == {"pointer", "detail"} for error in answer.json()["errors"])


@pytest.mark.parametrize(("method", "path"), JSON_CALLS)
@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
async def test_another_content_type_is_a_415(
    chancery: Chancery, person: Person, method: str, path: str, content_type: str | None
) -> None:
    headers = {**person.bearer, **({"content-type": content_type} if content_type else {})}
    answer = await chancery.command(method, path, content=b"{}", headers=headers)
    assert (answer.status_code, problem_code(answer)) == (415, "unsupported-media-type")


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


@pytest.mark.parametrize("call", [*BODILESS_CALLS, ROTATION])
async def test_a_call_without_a_body_refuses_any_but_an_empty_object(
    chancery: Chancery, person: Person, admin: Admin, call: tuple[str, str, int]
) -> None:
    method, path, _ = call
    token = admin.token if "/admin/" in path else person.tokens["access_token"]

    async def told(body: bytes, media_type: str) -> tuple[int, str]:
        headers = {**bearer(token), **({"content-type": media_type} if media_type else {})}
        answer = await chancery.command(method, path, content=body, headers=headers)
        return answer.status_code, problem_code(answer)

    for media_type in ("", "text/plain", "application/x-www-form-urlencoded"):
        assert await told(b"{}", media_type) == (415, "unsupported-media-type"), media_type
    for body in MALFORMED:
        if body:
            assert await told(body, "application/json") == (400, "malformed-json"), body[:40]
    for body in ODD:
        if body != b"{}":
            assert await told(body, "application/json") == (422, "validation-failed"), body


@pytest.mark.parametrize("call", BODILESS_CALLS)
@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"", None), (b"", "application/json"), (b"", "text/plain"), (b"{}", "application/json")],
)
async def test_a_call_without_a_body_takes_none_or_an_empty_object(
    chancery: Chancery,
    person: Person,
    admin: Admin,
    call: tuple[str, str, int],
    body: bytes,
    media_type: str | None,
) -> None:
    method, path, status = call
    if path == "/v1/sessions":  # which ends the session that asks
        person = await chancery.new_person()
    token = admin.token if "/admin/" in path else person.tokens["access_token"]
    headers = {**bearer(token), **({"content-type": media_type} if media_type else {})}
    answer = await chancery.command(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_body_over_64_kib_is_a_413(chancery: Chancery) -> None:
    body = json.dumps({"email": "a@b.example", "password": "x" * 70_000}).encode()
    answer = await chancery.command(
        "POST", "/v1/accounts", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, problem_code(answer)) == (413, "body-too-large")
    form = await chancery.command("POST", "/oauth/token", data={"grant_type": "x" * 70_000})
    assert (form.status_code, form.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize(("side", "path"), FORM_CALLS)
async def test_bad_forms_get_oauth_errors(chancery: Chancery, side: str, path: str) -> None:
    call = getattr(chancery, side)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for content in (
        b"\xff\xfe",
        b"token=%ff",
        b"token=a%00b",
        b"token=a&token=b",
        b"&".join([b"a%d=1" % n for n in range(100)]),
    ):
        answer = await call("POST", path, content=content, headers=form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), content[:20]
    wrong = await call("POST", path, content=b"{}", headers={"content-type": "application/json"})
    assert (wrong.status_code, wrong.json()["error"]) == (415, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!",
        "Basic eA==",
        "Bearer x",
        "Basic /////w==",
        "Basic JWZmOiVmZg==",
        "Basic AGE6AA==",
    ],
)
async def test_odd_client_credentials_are_a_401(chancery: Chancery, authorization: str) -> None:
    data = {"grant_type": "client_credentials", "token": "x"}
    headers = {"authorization": authorization}
    token = await chancery.command("POST", "/oauth/token", data=data, headers=headers)
    introspection = await chancery.query("POST", "/oauth/introspect", data=data, headers=headers)
    assert (token.status_code, introspection.status_code) == (401, 401)
    assert token.json()["error"] == introspection.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/accounts/x",
        "/v1/sessions/a/b",
        "/v1/sessions/%00",
        "/v1/sessions/%ff",
        "//",
        "/v1/me/",
    ],
)
async def test_unknown_paths_are_a_404(chancery: Chancery, person: Person, path: str) -> None:
    for call in (chancery.command, chancery.query):
        answer = await call("DELETE", path, headers=person.bearer)
        assert answer.status_code in {404, 405}, path
        assert problem_code(answer) in {"not-found", "method-not-allowed", "session-not-found"}


async def test_a_wrong_method_is_a_405_in_the_right_shape(chancery: Chancery) -> None:
    answer = await chancery.command("GET", "/v1/accounts")
    assert (answer.status_code, problem_code(answer)) == (405, "method-not-allowed")
    form = await chancery.command("GET", "/oauth/token")
    assert (form.status_code, form.json()["error"]) == (405, "invalid_request")


@pytest.mark.parametrize("token", ["a" * 20_000, "a.b.c", "é", "..", "a" * 8193])
async def test_odd_bearer_tokens_are_a_401_or_a_431(chancery: Chancery, token: str) -> None:
    headers = {"authorization": b"Bearer " + token.encode("utf-8")}
    for call, path in (
        (chancery.query, "/v1/me"),
        (chancery.query, "/v1/forward-auth"),
        (chancery.command, "/v1/sessions"),
    ):
        method = "DELETE" if path == "/v1/sessions" else "GET"
        assert (await call(method, path, headers=headers)).status_code in {400, 401, 431}


async def test_two_authorization_headers_are_refused(chancery: Chancery, person: Person) -> None:
    twice = [("authorization", person.bearer["authorization"]), ("authorization", "Bearer x")]
    assert (await chancery.query("GET", "/v1/forward-auth", headers=twice)).status_code == 401


async def test_errors_never_repeat_what_was_sent(chancery: Chancery) -> None:
    secret = "a very private sentence 8472"
    bodies = [
        {"email": secret, "password": secret},
        {"email": "a@b.example", "password": [secret]},
        {secret: 1},
    ]
    for path in ("/v1/accounts", "/v1/sessions"):
        for body in bodies[:2]:
            assert secret not in (await chancery.command("POST", path, json=body)).text


async def test_a_client_that_never_sends_its_body_is_let_go(chancery: Chancery) -> None:
    host, port = chancery.command_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
    )
    answer = await asyncio.wait_for(reader.read(4096), 20)
    assert b" 408 " in answer.splitlines()[0]
    writer.close()


async def raw(url: str, *parts: bytes) -> bytes:
    """What the server answers to these bytes before it closes the connection, or within the patience."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(4096), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_abuse_j5_an_endless_head_is_cut_off(chancery: Chancery) -> None:
    lines = [
        b"GET /health/live HTTP/1.1\r\nhost: x\r\n",
        *[b"x-%d: %s\r\n" % (n, b"y" * 8000) for n in range(40)],
    ]
    for url in (chancery.command_url, chancery.query_url):
        assert b" 200 " not in await raw(url, *lines)
    plain = await raw(
        chancery.query_url, b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert b" 200 " in plain


async def test_abuse_j5_a_head_that_never_ends_is_let_go(chancery: Chancery) -> None:
    assert await raw(chancery.query_url, b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ") == b""


async def test_abuse_d2_a_forwarded_address_is_not_believed(chancery: Chancery) -> None:
    person = await chancery.new_person()
    headers = {"x-forwarded-for": "203.0.113.9, <script>"}
    tokens = (await chancery.sign_in(person.email, headers=headers)).json()
    at = {"chancery-min-position": tokens["position"]}
    answer = await chancery.query("GET", "/v1/me/sessions", headers={**person.bearer, **at})
    assert {session["ip"] for session in answer.json()["sessions"]} == {"127.0.0.1"}


async def test_health_metrics_and_the_openapi_document_are_there(chancery: Chancery) -> None:
    for url in (chancery.command_url, chancery.query_url):
        assert (await chancery.http.get(url + "/health/live")).json() == {"status": "live"}
        assert (await chancery.http.get(url + "/health/ready")).json() == {"status": "ready"}
        assert "chancery_http_request_seconds" in (await chancery.http.get(url + "/metrics")).text
        document = (await chancery.http.get(url + "/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        assert (await chancery.http.get(url + "/docs")).status_code == 200
    for port in ("PROJECTORS", "MAILER"):
        url = f"http://127.0.0.1:{chancery.settings[f'CHANCERY_{port}_PORT']}"
        assert (await chancery.http.get(url + "/health/ready")).status_code == 200
        assert (await chancery.http.get(url + "/metrics")).status_code == 200


async def test_the_openapi_documents_name_every_path_of_the_story(chancery: Chancery) -> None:
    command = (await chancery.http.get(chancery.command_url + "/openapi.json")).json()["paths"]
    query = (await chancery.http.get(chancery.query_url + "/openapi.json")).json()["paths"]
    assert {path for _, path in JSON_CALLS} <= set(command)
    assert {"/oauth/token", "/oauth/revoke", "/v1/sessions/{session_id}"} <= set(command)
    assert {
        "/oauth/introspect",
        "/v1/forward-auth",
        "/v1/me",
        "/v1/me/sessions",
        "/.well-known/jwks.json",
    } <= set(query)


async def test_no_secret_reaches_the_logs(chancery: Chancery) -> None:
    person = await chancery.new_person(display_name="Very Recognisable Name")
    await chancery.query("GET", "/v1/me", headers=person.bearer)
    await chancery.introspect(person.tokens["access_token"])
    app = await App.enrolled(chancery, person)
    challenge = (await challenged(chancery, person))["challenge"]
    await answer_challenge(chancery, challenge, recovery_code=app.recovery_codes[0])
    mails = await chancery.mails_to(person.email)
    canaries = [person.email, person.email.lower(), PASSWORD, "Very Recognisable Name", mails[0].code]
    canaries += [
        person.tokens["access_token"],
        person.tokens["refresh_token"],
        chancery.client["client_secret"],
        *(app.secret, challenge, *app.recovery_codes),
    ]
    for log in (chancery.home / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not [canary for canary in canaries if canary in text], log.name
