"""Token checks by their short and their long way: both say the same, also of a whole batch at once."""

import asyncio
import json
import re
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.support.admins import CLIENTS, new_admin
from tests.support.chancery import Chancery, bearer, problem_code
from tests.support.tasks import eventually
from tests.support.wire import exchange

VALIDATE = "/v1/tokens/validate"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
LONG_WAY = "; charset=utf-8"
"""A content type that says this is understood, and too unusual for the short way."""
Tokens = dict[str, str]


@pytest.fixture(scope="module")
async def introspector(chancery: Chancery) -> dict[str, str]:
    """Headers with an access token that may ask about others."""
    return bearer(await client_token(chancery, chancery.client))


@pytest.fixture(scope="module")
async def tokens(chancery: Chancery) -> Tokens:
    """By what they are. The last part of a JWT is its signature."""
    person, gone = await chancery.new_person(), await chancery.new_person()
    assert (await chancery.command("DELETE", "/v1/sessions", headers=gone.bearer)).status_code == 204
    await chancery.until_inactive(gone.tokens["access_token"])
    active = person.tokens["access_token"]
    head, _, signature = active.rpartition(".")
    return {
        "active": active,
        "client": await client_token(chancery, chancery.client),
        "revoked": gone.tokens["access_token"],
        "refresh": person.tokens["refresh_token"],
        "revoked refresh": gone.tokens["refresh_token"],
        "other signature": f"{head}.{signature[:10]}{'A' if signature[10] != 'A' else 'B'}{signature[11:]}",
        "padded": active + "=",
        "no signature": head + ".",
        "unknown key": "eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ0eXAiOiJhdCtqd3QifQ.e30." + signature,
        "garbage": "x.y.z",
        "too long": "a" * 9000,
        "odd": "ein Schlüssel\n",
    }


async def client_token(chancery: Chancery, client: Any) -> str:
    credentials = (client["client_id"], client["client_secret"])
    data = {"grant_type": "client_credentials"}
    answer = await chancery.command("POST", "/oauth/token", auth=credentials, data=data)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def introspected(chancery: Chancery, token: str, way: str = "") -> httpx.Response:
    return await chancery.query(
        "POST",
        "/oauth/introspect",
        auth=chancery.basic,
        data={"token": token},
        headers={"content-type": FORM + way},
    )


async def validated(
    chancery: Chancery, headers: dict[str, str], content: Any, way: str = ""
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {**headers, "content-type": JSON + way}
    return await chancery.query("POST", VALIDATE, content=body, headers=headers)


def shown(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All but what moves on between two answers."""
    moving = ("date", "chancery-position")
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in moving}


async def test_introspection_says_the_same_by_both_ways(chancery: Chancery, tokens: Tokens) -> None:
    for kind, token in tokens.items():
        short, long = await introspected(chancery, token), await introspected(chancery, token, LONG_WAY)
        assert shown(short) == shown(long), kind
        assert short.json()["active"] == (kind in ("active", "client", "refresh")), kind


async def test_a_request_with_two_content_types_or_two_callers_is_not_for_the_short_way(
    chancery: Chancery, tokens: Tokens
) -> None:
    await introspected(chancery, tokens["active"])
    good = httpx.BasicAuth(*chancery.basic)._auth_header  # noqa: SLF001  # twice in one request
    body = f"token={tokens['active']}".encode()
    for headers, status in (
        ([("content-type", JSON), ("content-type", FORM), ("authorization", good)], 415),
        ([("content-type", FORM), ("authorization", good), ("authorization", good)], 401),
    ):
        answer = await chancery.query("POST", "/oauth/introspect", content=body, headers=headers)
        assert answer.status_code == status, answer.text


async def test_a_batch_says_in_order_what_introspection_says(
    chancery: Chancery, introspector: dict[str, str], tokens: Tokens
) -> None:
    asked = [*tokens.values(), tokens["active"]]
    expected = [(await introspected(chancery, token)).json() for token in asked]
    for several in (asked, [token for token in asked if token.isascii() and "." in token]):
        short = await validated(chancery, introspector, {"tokens": several})
        long = await validated(chancery, introspector, {"tokens": several}, LONG_WAY)
        assert shown(short) == shown(long)
        positions = [answer.headers["chancery-position"] for answer in (short, long)]
        assert all(re.fullmatch(r"(\d+:\d+,?)+", position) for position in positions)
        wanted = [one for token, one in zip(asked, expected, strict=True) if token in several]
        assert short.json() == {"results": wanted}


async def test_forward_auth_says_the_same_by_both_ways(chancery: Chancery, tokens: Tokens) -> None:
    for kind in ("active", "client", "revoked", "refresh", "other signature", "padded", "garbage"):
        headers = bearer(tokens[kind])
        short = await chancery.query("GET", "/v1/forward-auth", headers=headers)
        long = await chancery.query("GET", "/v1/forward-auth/long", headers=headers)
        assert shown(short) == shown(long), kind
        assert short.status_code == (200 if kind in ("active", "client") else 401)


async def test_the_short_way_is_taken_and_measured_and_leaves_no_line(
    chancery: Chancery, introspector: dict[str, str], tokens: Tokens
) -> None:
    token = tokens["active"]
    await introspected(chancery, token)
    before = await measured(chancery)
    lines = len(log_lines(chancery))
    for _ in range(5):
        assert (await introspected(chancery, token)).status_code == 200
        assert (await introspected(chancery, tokens["revoked"])).status_code == 200
        assert (await validated(chancery, introspector, {"tokens": [token]})).status_code == 200
        headers = bearer(token)
        assert (await chancery.query("GET", "/v1/forward-auth", headers=headers)).status_code == 200
    after = await measured(chancery)
    assert {route: after[route] - before[route] for route in after} == {
        "/oauth/introspect": 10,
        VALIDATE: 5,
        "/v1/forward-auth": 5,
    }
    assert len(log_lines(chancery)) == lines


def log_lines(chancery: Chancery) -> list[str]:
    """Of token checks by the long way."""
    text = (chancery.home / "log" / "query.log").read_text()
    return [line for line in text.splitlines() if re.search("introspect|validate|forward-auth", line)]


async def measured(chancery: Chancery) -> dict[str, int]:
    """How many successful token checks were answered, by route."""
    text = (await chancery.query("GET", "/metrics")).text
    found = re.findall(
        r'chancery_http_request_seconds_count\{method="\w+",route="([^"]+)",status="200"\} (\d+)', text
    )
    counted = Counter({"/oauth/introspect": 0, VALIDATE: 0, "/v1/forward-auth": 0})
    for route, count in found:
        if route in counted:
            counted[route] += int(count)
    return counted


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"tokens": ["x"] * 1001}, 422, "validation-failed"),
        ({"tokens": [1]}, 422, "validation-failed"),
        ({"tokens": "x"}, 422, "validation-failed"),
        ({}, 422, "validation-failed"),
        ({"tokens": [], "more": 1}, 422, "validation-failed"),
        (b'{"tokens":["x"],"tokens":[]}', 400, "malformed-json"),
        (b'{"tokens":["x"],"tok\\u0065ns":[]}', 400, "malformed-json"),
        (b'{"tokens":["x"]', 400, "malformed-json"),
        (b'{"tokens":["' + b"x" * (2 * 1024 * 1024) + b'"]}', 413, "body-too-large"),
    ],
)
async def test_a_batch_that_is_none_is_refused(
    chancery: Chancery, introspector: dict[str, str], content: Any, status: int, code: str
) -> None:
    answer = await validated(chancery, introspector, content)
    assert (answer.status_code, problem_code(answer)) == (status, code)


async def test_a_batch_of_a_thousand_and_one_of_none(
    chancery: Chancery, introspector: dict[str, str], tokens: Tokens
) -> None:
    asked = [tokens["active"], tokens["revoked"]] * 500
    answer = await validated(chancery, introspector, {"tokens": asked})
    assert [one["active"] for one in answer.json()["results"]] == [True, False] * 500
    assert (await validated(chancery, introspector, {"tokens": []})).json() == {"results": []}


async def test_a_batch_is_answered_to_introspecting_clients_alone(chancery: Chancery, tokens: Tokens) -> None:
    content = {"tokens": [tokens["active"]]}
    without = await validated(chancery, {}, content)
    assert (without.status_code, problem_code(without)) == (401, "missing-token")
    revoked = await validated(chancery, bearer(tokens["revoked"]), content)
    assert (revoked.status_code, problem_code(revoked)) == (401, "invalid-token")
    other = await client_token(chancery, await chancery.new_client("reports"))
    for token in (tokens["active"], other):
        refused = await validated(chancery, bearer(token), content)
        assert (refused.status_code, problem_code(refused)) == (403, "insufficient-scope")
        assert 'scope="chancery.introspect"' in refused.headers["www-authenticate"]


async def test_a_known_caller_is_refused_soon_after_its_secret_or_itself_is_gone(
    chancery: Chancery, tokens: Tokens
) -> None:
    admin = await new_admin(chancery)
    client = await chancery.new_client("chancery.introspect")
    path, old = f"{CLIENTS}/{client['client_id']}", (client["client_id"], client["client_secret"])
    newer = [await admin.ask("POST", f"{path}/secrets") for _ in range(2)]
    new = (client["client_id"], newer[-1].json()["client_secret"])

    async def is_refused(credentials: tuple[str, str]) -> bool:
        data = {"token": tokens["active"]}
        answer = await chancery.query("POST", "/oauth/introspect", auth=credentials, data=data)
        return answer.status_code == 401

    async def is_let_in() -> bool:
        return not await is_refused(new)

    await eventually(lambda: is_refused(old), within_seconds=2)
    await eventually(is_let_in)
    assert (await admin.ask("DELETE", path)).status_code == 204
    await eventually(lambda: is_refused(new), within_seconds=2)


async def test_the_long_way_is_there_for_what_comes_in_pieces(
    chancery: Chancery, introspector: dict[str, str], tokens: Tokens
) -> None:
    body = json.dumps({"tokens": [tokens["active"]] * 3}).encode()

    async def pieces() -> Any:
        for number in range(0, len(body), 100):
            yield body[number : number + 100]

    answer = await chancery.query(
        "POST", VALIDATE, content=pieces(), headers={**introspector, "content-type": JSON}
    )
    assert [one["active"] for one in answer.json()["results"]] == [True] * 3


async def test_forward_auth_waits_for_no_body(chancery: Chancery, tokens: Tokens) -> None:
    """A gateway may pass its client's Content-Length on, and keep the body."""
    head = f"GET /v1/forward-auth HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tokens['active']}\r\n"
    answer = await asyncio.wait_for(
        exchange(chancery.query_url, f"{head}content-length: 5\r\n\r\n".encode()), 2
    )
    assert (answer.status, "x-auth-account" in answer.headers) == (200, True)
