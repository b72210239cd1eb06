"""Applications with Chancery's manners: strict bodies, problem documents, health, metrics, traces, bugs."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from runtime.serving.answers import empty_answer, failure, json_answer, oauth_error, problem
from tests.support.serving import SECRET, app_with, client_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
JSON = {"content-type": "application/json"}


@pytest.fixture
def failing() -> dict[str, str]:
    return {}


@pytest.fixture
async def http(failing: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_with(failing)) as client:
        yield client


def problem_of(code: str, title: str, status: int, **more: object) -> dict[str, object]:
    return {"type": f"urn:chancery:problem:{code}", "title": title, "status": status, **more}


async def test_a_body_of_the_documented_shape_is_taken(http: httpx.AsyncClient) -> None:
    for media_type in (
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
    ):
        answer = await http.post("/orders", content=b'{"name": "tea"}', headers={"content-type": media_type})
        assert (answer.status_code, answer.json()) == (200, {"name": "tea", "count": 1})


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ],
)
async def test_a_body_of_another_media_type_is_415(http: httpx.AsyncClient, media_type: str) -> None:
    answer = await http.post("/orders", content=b'{"name": "tea"}', headers={"content-type": media_type})
    expected = problem_of("unsupported-media-type", "The body must be application/json.", 415)
    assert (answer.status_code, answer.json()) == (415, expected)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b'{"name": "tea", "name": "gin"}', "a member name occurs twice"),
        (b'{"name": NaN}', "NaN and Infinity are not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
async def test_abuse_j1_a_body_that_is_not_strict_json_is_400_with_the_reason(
    http: httpx.AsyncClient, body: bytes, reason: str
) -> None:
    answer = await http.post("/orders", content=body, headers=JSON)
    expected = problem_of("malformed-json", f"The body is not acceptable: {reason}.", 400)
    assert (answer.status_code, answer.json()) == (400, expected)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_abuse_i2_another_shape_is_422_with_pointers_and_without_the_input(
    http: httpx.AsyncClient,
) -> None:
    body = {"name": SECRET, "lines": [{"a/b~c": "x"}], "admin": SECRET}
    answer = await http.post("/orders", json=body)
    content = answer.json()
    assert (answer.status_code, content["type"]) == (422, "urn:chancery:problem:validation-failed")
    pointers = {error["pointer"] for error in content["errors"]}
    assert pointers == {"/name", "/lines/0/a~1b~0c", "/admin"}
    assert all(set(error) == {"pointer", "detail"} for error in content["errors"])
    assert SECRET not in answer.text


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_call_without_a_body_takes_none_or_an_empty_object(
    http: httpx.AsyncClient, method: str
) -> None:
    text = {"content-type": "text/plain"}
    for body, headers in ((b"", {}), (b"", JSON), (b"", text), (b"{}", JSON), (b" { }\n", JSON)):
        answer = await http.request(method, "/bell", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"body": body.decode()}), (body, headers)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("body", "media_type", "code", "status"),
    [
        (b"{}", "", "unsupported-media-type", 415),
        (b"{}", "text/plain", "unsupported-media-type", 415),
        (b"a=1", "application/x-www-form-urlencoded", "unsupported-media-type", 415),
        (b"{", "application/json", "malformed-json", 400),
        (b" ", "application/json", "malformed-json", 400),
        (b'{"a":1,"a":1}', "application/json", "malformed-json", 400),
        (b'{"secret":"' + SECRET.encode() + b'"}', "application/json", "validation-failed", 422),
        *((odd, "application/json", "validation-failed", 422) for odd in (b"[]", b"null", b"0", b'""')),
    ],
)
async def test_a_call_without_a_body_refuses_any_other(
    http: httpx.AsyncClient, method: str, body: bytes, media_type: str, code: str, status: int
) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = await http.request(method, "/bell", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:chancery:problem:{code}")
    if status == 422:
        assert answer.json()["errors"] == [
            {"pointer": "", "detail": "This call takes no body, or an empty object"}
        ]
    assert SECRET not in answer.text


async def test_what_comes_with_a_question_means_nothing(http: httpx.AsyncClient) -> None:
    """A proxy that asks whether somebody may pass may add the body of his request."""
    answer = await http.request("GET", "/things/tea", content=b"{", headers={"content-type": "text/plain"})
    assert answer.status_code == 200


async def test_what_every_body_can_be_answered_with_is_documented(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    bodies = {"400", "415", "422"}
    assert bodies <= set(paths["/orders"]["post"]["responses"])
    assert set(paths["/bell"]["delete"]["responses"]) == {"200", *bodies}
    assert not bodies & set(paths["/bearer"]["get"]["responses"])


async def test_a_bad_query_parameter_is_422_and_named(http: httpx.AsyncClient) -> None:
    answer = await http.get("/things/tea", params={"size": "big"})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/query/size"]


async def test_what_is_not_there_or_not_allowed_is_a_problem_too(http: httpx.AsyncClient) -> None:
    missing, wrong = await http.get("/nothing"), await http.delete("/orders")
    assert missing.json() == problem_of("not-found", "There is nothing here.", 404)
    assert wrong.json() == problem_of("method-not-allowed", "This method is not allowed here.", 405)
    assert wrong.headers["allow"] == "POST"
    assert (await http.get("/orders/", follow_redirects=False)).status_code == 404


async def test_below_oauth_a_failure_has_oauths_shape(http: httpx.AsyncClient) -> None:
    answer = await http.get("/oauth/nothing")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "invalid_request", "error_description": "There is nothing here."},
    )


async def test_any_other_http_error_keeps_its_status_and_headers(http: httpx.AsyncClient) -> None:
    answer = await http.get("/teapot")
    assert (answer.status_code, answer.headers["retry-after"]) == (418, "1")
    assert answer.json() == problem_of("bad-request", "The request cannot be understood.", 418)


async def test_a_bug_tells_the_client_its_trace_id_and_nothing_else(http: httpx.AsyncClient) -> None:
    with capture_logs() as logged:
        answer = await http.get("/bug", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
        oauth = await http.post("/oauth/bug")
    title = f"Something is wrong on our side. Trace id: {TRACE}"
    assert (answer.status_code, answer.json()) == (500, problem_of("internal-error", title, 500))
    assert SECRET not in answer.text
    bugs = [line for line in logged if line["log_level"] == "error"]
    assert [line["event"] for line in bugs] == ["a bug"] * 2
    assert bugs[0]["trace_id"] == TRACE
    assert (oauth.status_code, oauth.json()["error"]) == (500, "server_error")


async def test_a_process_is_live_and_ready_until_a_part_fails(
    http: httpx.AsyncClient, failing: dict[str, str]
) -> None:
    assert (await http.get("/health/live")).json() == {"status": "live"}
    assert (await http.get("/health/ready")).json() == {"status": "ready"}
    failing["kafka"] = "does not answer"
    answer = await http.get("/health/ready")
    expected = {"status": "not ready", "failing": {"kafka": "does not answer"}}
    assert (answer.status_code, answer.json()) == (503, expected)
    assert (await http.get("/health/live")).status_code == 200


async def test_every_request_is_measured_by_its_route_and_never_by_its_path(http: httpx.AsyncClient) -> None:
    await http.get("/things/ada@example.com")
    await http.get("/nowhere/ada@example.com")
    await http.request("BREW", "/things/x")
    with capture_logs():
        await http.get("/bug")
    text = (await http.get("/metrics")).text
    counts = dict(re.findall(r"^chancery_http_request_seconds_count\{(.*)\} ([\d.]+)$", text, re.MULTILINE))
    assert counts == {
        'method="GET",route="/things/{name}",status="200"': "1.0",
        'method="GET",route="unknown",status="404"': "1.0",
        'method="other",route="/things/{name}",status="405"': "1.0",
        'method="GET",route="/bug",status="500"': "1.0",
    }
    assert "ada@" not in text


async def test_every_request_leaves_one_line_and_those_for_health_none(http: httpx.AsyncClient) -> None:
    with capture_logs() as logged:
        await http.get("/things/ada@example.com?size=2")
        await http.get("/health/ready")
        await http.get("/metrics")
    (line,) = logged
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/things/{name}",
        "status": 200,
    }


async def test_a_trace_goes_on_with_a_span_of_its_own(http: httpx.AsyncClient) -> None:
    sent = f"00-{TRACE}-{SPAN}-01"
    answer = await http.get("/bearer", headers={"traceparent": sent})
    version, trace, span, flags = answer.json()["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert span != SPAN


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "00",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        "\xff",
    ],
)
async def test_a_trace_that_is_none_begins_anew(http: httpx.AsyncClient, sent: str | None) -> None:
    headers = [] if sent is None else [(b"traceparent", sent.encode("latin-1"))]
    traces = [(await http.get("/bearer", headers=headers)).json()["traceparent"] for _ in range(2)]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
    assert len({TRACE, *(trace.split("-")[1] for trace in traces)}) == 3


def test_answers_are_never_stored_on_the_way() -> None:
    assert json_answer(200, {"é": 1}).headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
    }
    assert json_answer(200, {"é": 1}).body == '{"é":1}'.encode()
    assert empty_answer(204, {"location": "/x"}).headers == {"cache-control": "no-store", "location": "/x"}


def test_a_failure_has_the_shape_of_its_path() -> None:
    assert failure("/v1/x", 503, "c", "T.") == problem(503, "c", "T.")
    assert failure("/oauth/x", 415, "c", "T.") == oauth_error(415, "invalid_request", "T.")
    assert failure("/oauth/x", 503, "c", "T.") == oauth_error(503, "temporarily_unavailable", "T.")
    assert failure("/oauth/x", 500, "c", "T.") == oauth_error(500, "server_error", "T.")
    errors = [{"pointer": "/a", "detail": "d"}]
    assert json.loads(problem(422, "c", "T.", errors=errors).body) == problem_of(
        "c", "T.", 422, errors=errors
    )
