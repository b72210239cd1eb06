"""OAuth's HTTP forms: one parameter of each name, one way to name a client, one bearer token."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from runtime.serving.oauth import ClientCredentials, InvalidClientAuthenticationError, form_body
from tests.support.serving import app_with, client_of

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_with({})) as client:
        yield client


def basic(text: str) -> dict[str, str]:
    return {**FORM, "authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", {}),
        (b"a=1&b=two+words", {"a": "1", "b": "two words"}),
        (b"a=%C3%A9", {"a": "é"}),
        (b"a=&b=1", {"b": "1"}),
        (b"a", {}),
    ],
)
async def test_a_form_is_read_and_an_empty_parameter_is_left_out(
    http: httpx.AsyncClient, body: bytes, form: dict[str, str]
) -> None:
    assert (await http.post("/oauth/echo", content=body, headers=FORM)).json() == form


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=1",
        b"a=1&a=",
        b"a=%00",
        b"%00=a",
        b"\xff=1",
        "é=1".encode(),
        b"a=%ff",
        b"&".join([b"a=1"] * 21),
    ],
)
async def test_abuse_h2_a_form_that_can_be_read_in_two_ways_is_refused(
    http: httpx.AsyncClient, body: bytes
) -> None:
    answer = await http.post("/oauth/echo", content=body, headers=FORM)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_body_that_is_no_form_is_415(http: httpx.AsyncClient) -> None:
    answer = await http.post("/oauth/echo", json={"a": "1"})
    title = "The body must be application/x-www-form-urlencoded."
    expected = {"error": "invalid_request", "error_description": title}
    assert (answer.status_code, answer.json()) == (415, expected)


async def test_a_client_names_itself_in_the_header_or_in_the_body(http: httpx.AsyncClient) -> None:
    header = await http.post("/oauth/who", headers=basic("a%3Ab:s+t%2B:u"))
    body = await http.post("/oauth/who", data={"client_id": "a:b", "client_secret": "s t+:u"})
    assert header.json() == body.json() == {"id": "a:b", "secret": "s t+:u"}


async def test_a_client_without_a_secret_has_no_credentials(http: httpx.AsyncClient) -> None:
    answer = await http.post("/oauth/who", data={"client_id": "a"})
    assert answer.json() == {"id": None, "secret": None}
    assert (await http.post("/oauth/who", data={"client_secret": "s"})).json() == {"id": "", "secret": "s"}


@pytest.mark.parametrize(
    "headers",
    [
        basic("without colon"),
        basic("%ff:secret"),
        {**FORM, "authorization": "Basic"},
        {**FORM, "authorization": "Basic !!!"},
        {**FORM, "authorization": "Basic " + base64.b64encode(b"\xff:x").decode()},
        {**FORM, "authorization": "Bearer abc"},
        {**FORM, "authorization": ""},
    ],
    ids=range(7),
)
async def test_credentials_in_no_known_form_are_invalid(headers: dict[str, str]) -> None:
    transport = httpx.ASGITransport(app_with({}))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        with capture_logs(), pytest.raises(InvalidClientAuthenticationError):
            await http.post("/oauth/who", headers=headers)


async def test_credentials_in_two_forms_at_once_are_invalid() -> None:
    transport = httpx.ASGITransport(app_with({}))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        with capture_logs(), pytest.raises(InvalidClientAuthenticationError):
            await http.post("/oauth/who", data={"client_secret": "s"}, headers=basic("a:s"))
        twice = [("authorization", basic("a:s")["authorization"])] * 2
        with capture_logs(), pytest.raises(InvalidClientAuthenticationError):
            await http.post("/oauth/who", content=b"", headers=[*FORM.items(), *twice])


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([("authorization", "Bearer abc")], "abc"),
        ([("authorization", "bearer  abc ")], "abc"),
        ([("authorization", "Bearer")], None),
        ([("authorization", "Bearer ")], None),
        ([("authorization", "Basic abc")], None),
        ([("authorization", "abc")], None),
        ([], None),
        ([("authorization", "Bearer abc"), ("authorization", "Bearer abc")], None),
    ],
)
async def test_a_bearer_token_comes_alone(
    http: httpx.AsyncClient, headers: list[tuple[str, str]], token: str | None
) -> None:
    assert (await http.get("/bearer", headers=headers)).json()["token"] == token


def test_a_secret_is_never_printed() -> None:
    assert repr(ClientCredentials(client_id="a", secret="s")) == "ClientCredentials(client_id='a')"


def test_a_form_is_described_for_openapi() -> None:
    described: dict[str, Any] = form_body("token", optional=("hint",))
    assert described["requestBody"]["content"] == {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "properties": {"token": {"type": "string"}, "hint": {"type": "string"}},
                "required": ["token"],
            }
        }
    }
