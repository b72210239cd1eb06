"""The gateway configurations of docs/how-to/gateways, each in its real gateway before a real service and Chancery."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.admins import token_of
from tests.support.auth_line import Fault, questions
from tests.support.chancery import Chancery, Person
from tests.support.gateways import GATEWAYS, Headers, Site, open_site, raw
from tests.support.http2 import ask_by_http2
from tests.support.smuggling import AMBIGUOUS, say
from tests.support.tasks import eventually
from tests.support.wire import connected, exchange, read_answer

NAMES = ("X-Auth-Account", "X-Auth-Session", "X-Auth-Client", "X-Auth-Scopes")
FORGED = "forged-by-the-client"
REVOKED_WITHIN_SECONDS = 1.0
PATIENCE_SECONDS = 10
TRAEFIK_HANGS_SECONDS = 1.5
"""It asks for 30 seconds and cannot be told otherwise; the others answer after one."""
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: /\r\nx-auth-account: a\r\nx-auth-session: s\r\ncontent-length: 0\r\n\r\n"
ODD_PATHS = (
    "//", "//a//b", "/a/../b", "/../a", "/a/%2e%2e/b", "/%2e%2e%2fb", "/a%2F..%2Fb", "/a%5c..%5cb", "/a;/../b",
    "/%252e%252e/b", "/a?b=/../c", "/a?x-auth-account=forged", "/v1/forward-auth", "/_chancery", "/a%00b",
)  # fmt: skip


@pytest.fixture(scope="module", params=list(GATEWAYS))
async def site(
    chancery: Chancery, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with open_site(request.param, tmp_path_factory.mktemp(request.param), chancery.query_url) as opened:
        yield opened


@pytest.fixture(scope="module")
async def person(chancery: Chancery) -> Person:
    return await chancery.new_person()


@pytest.fixture(scope="module")
async def machine(chancery: Chancery) -> str:
    return await token_of(chancery, dict(chancery.client))


def shown(token: str) -> Headers:
    return (("Authorization", f"Bearer {token}"),)


def token(person: Person) -> Headers:
    return shown(str(person.tokens["access_token"]))


def identity(person: Person) -> Headers:
    return [
        ("x-auth-account", person.account_id),
        ("x-auth-scopes", "openid profile email"),
        ("x-auth-session", person.tokens["session_id"]),
    ]


async def test_a_service_hears_who_asks_and_gets_the_whole_request(
    site: Site, chancery: Chancery, person: Person, machine: str
) -> None:
    body = b"a body for the service alone" * 5_000
    site.line.take_heard()
    sent = (*token(person), ("Cookie", "for=the service alone"))
    answer, (arrival,) = await site.ask(sent, "/orders?of=ada", "POST", body)
    assert (answer.status, arrival.identity) == (200, identity(person))
    assert (arrival.method, arrival.path, arrival.body) == ("POST", "/orders?of=ada", body)
    assert arrival.values("cookie") == ["for=the service alone"]
    heard = site.line.take_heard()
    assert (questions(heard), b"the service alone" in heard) == (1, False)
    answer, (arrival,) = await site.ask(shown(machine))
    client = [("x-auth-client", chancery.client["client_id"]), ("x-auth-scopes", "chancery.introspect")]
    assert (answer.status, arrival.identity) == (200, client)


async def test_abuse_k1_no_header_of_a_client_counts_as_the_gateways(
    site: Site, person: Person, machine: str
) -> None:
    spellings = (
        NAMES,
        NAMES * 2,
        [name.upper() for name in NAMES],
        [name.lower() for name in NAMES],
        [name.replace("-", "_") for name in NAMES],
        [name.replace("-", "_", 1) for name in NAMES],
        [name.lower().replace("h-", "h_") for name in NAMES],
    )
    for sent in (token(person), shown(machine)):
        ours = (await site.ask(sent))[1][0].identity
        for forged in ([(name, FORGED) for name in names] for names in spellings):
            for headers in ((*forged, *sent), (*sent, *forged)):
                answer, arrivals = await site.ask(headers)
                assert (answer.status, [one.identity for one in arrivals]) == (200, [ours]), forged
            answer, arrivals = await site.ask(forged)
            assert (answer.status, arrivals) == (401, []), forged


async def test_abuse_k1_nothing_after_a_body_counts_as_the_gateways(site: Site, person: Person) -> None:
    head = raw((*token(person), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Auth-Account")), "/", "POST")
    trailers = f"X-Auth-Account: {FORGED}\r\nX_Auth_Session: {FORGED}\r\n"
    answer, (arrival,) = await site.send(head + f"1\r\na\r\n0\r\n{trailers}\r\n".encode())
    assert (answer.status, arrival.identity, arrival.body) == (200, identity(person), b"a")


async def test_abuse_k2_what_a_client_says_of_its_request_decides_nothing(site: Site, person: Person) -> None:
    names = (
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
    )
    methods = ("X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method-Override")
    lies = [
        *((name, "/public") for name in names),
        *((name, "OPTIONS") for name in methods),
        ("X-Forwarded-Host", "forged.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "203.0.113.9"),
    ]
    answer, arrivals = await site.ask(lies, "/orders")
    assert (answer.status, arrivals) == (401, [])
    answer, (arrival,) = await site.ask((*lies, *token(person)), "/orders", "DELETE")
    assert (answer.status, arrival.method, arrival.path) == (200, "DELETE", "/orders")
    assert arrival.identity == identity(person)
    assert "203.0.113.9" not in (seen := arrival.values("x-forwarded-for"))[0]
    assert len(seen) == 1
    assert arrival.values("x-forwarded-host") in ([], ["service.example"])
    assert arrival.values("x-forwarded-proto") == ["http"]


@pytest.mark.parametrize(
    ("sent", "challenge"),
    [
        ((), "Bearer"),
        ((("Authorization", "Bearer"),), "Bearer"),
        ((("Authorization", "Basic eDp5"),), "Bearer"),
        ((("Authorization", "Bearer x.y.z"),), 'Bearer error="invalid_token"'),
        ((("Cookie", '=;;"\x7f, session=\xff'),), None),
        ((("Cookie", "a=b; " * 2_000),), None),
    ],
    ids=["none", "empty", "basic", "bad", "bytes", "cookies"],
)
async def test_abuse_k3_who_shows_no_token_or_nonsense_is_refused(
    site: Site, sent: Headers, challenge: str | None
) -> None:
    answer, arrivals = await site.ask(sent)
    assert arrivals == []
    if challenge is None:
        assert answer.status in (400, 401, 431), answer
    else:
        assert (answer.status, answer.headers["www-authenticate"]) == (401, challenge)


async def test_abuse_k3_two_tokens_are_none(site: Site, person: Person) -> None:
    for sent in ((*token(person), *shown("x.y.z")), (*shown("x.y.z"), *token(person)), (*token(person),) * 2):
        answer, arrivals = await site.ask(sent)
        assert (answer.status in (400, 401), arrivals) == (True, []), answer


async def test_abuse_k4_who_asks_arrives_whole_or_not_at_all(site: Site, person: Person) -> None:
    """Whatever a client names as meant for the next hop alone."""
    everything = ", ".join(NAMES)
    lists = (*NAMES, everything, "close, x-auth-account", "upgrade, X-Auth-Session", "Authorization")
    attacks = [("Connection", named) for named in (*lists, "X-Forwarded-For")]
    attacks += [
        (header, everything) for header in ("Proxy-Connection", "Keep-Alive", "TE", "Upgrade", "Trailer")
    ]
    for attack in attacks:
        answer, arrivals = await site.ask((*token(person), attack))
        outcome = (answer.status, [one.identity for one in arrivals])
        assert outcome == (200, [identity(person)]) or (answer.status >= 400 and arrivals == []), (
            attack,
            outcome,
        )
        assert [one for one in arrivals if len(one.values("x-forwarded-for")) != 1] == [], attack


async def test_abuse_k4_an_answer_that_names_nobody_lets_nobody_in(site: Site, person: Person) -> None:
    async with site.line.failing(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"):
        for forged in ((), [(name, FORGED) for name in NAMES]):
            answer, (arrival,) = await site.ask((*token(person), *forged))
            assert (answer.status, arrival.identity) == (401, [])
    await eventually(lambda: site.lets_in(token(person)))


@pytest.mark.parametrize(
    "fault",
    [
        "refuse",
        "hang",
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        REDIRECT,
        b"HTTP/1.1 200 OK\r\nx-auth-acc",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["refused", "hanging", "500", "503", "302", "torn", "nonsense", "closed"],
)
async def test_abuse_k5_a_gateway_that_cannot_ask_lets_nobody_in(
    site: Site, person: Person, fault: Fault
) -> None:
    is_patient = fault == "hang" and site.name == "traefik"
    async with site.line.failing(fault):
        site.upstream.take_arrivals()
        try:
            async with asyncio.timeout(TRAEFIK_HANGS_SECONDS if is_patient else PATIENCE_SECONDS):
                status = (await exchange(site.url, raw(token(person)))).status
        except TimeoutError:
            assert is_patient
            status = 504
        assert status >= 500 or (status == 302 and fault == REDIRECT)
        assert site.upstream.take_arrivals() == []
    await eventually(lambda: site.lets_in(token(person)))


async def test_abuse_k6_no_path_and_no_method_is_a_way_around_the_question(
    site: Site, person: Person
) -> None:
    requests = [(path, "GET") for path in ODD_PATHS]
    requests += [
        ("/", method) for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")
    ]
    arrived = 0
    for path, method in requests:
        answer, arrivals = await site.ask((), path, method)
        assert (400 <= answer.status < 500, arrivals) == (True, []), (method, path, answer)
        site.line.take_heard()
        answer, arrivals = await site.ask(token(person), path, method)
        assert [one.identity for one in arrivals] in ([], [identity(person)]), (method, path)
        assert (answer.status == 200) == bool(arrivals), (method, path, answer)
        assert questions(site.line.take_heard()) >= len(arrivals), (method, path)
        arrived += len(arrivals)
    assert arrived > len(requests) / 2


async def test_abuse_k7_each_request_is_asked_about_and_a_sign_out_counts_within_a_second(
    site: Site, chancery: Chancery
) -> None:
    gone = await chancery.new_person()
    site.line.take_heard()
    async with connected(site.url) as (reader, writer):

        async def status() -> int:
            writer.write(raw(token(gone)))
            return (await read_answer(reader)).status

        async def is_refused() -> bool:
            return await status() == 401

        assert [await status() for _ in range(3)] == [200, 200, 200]
        assert questions(site.line.take_heard()) == 3
        assert (await chancery.command("DELETE", "/v1/sessions", headers=gone.bearer)).status_code == 204
        await eventually(is_refused, within_seconds=REVOKED_WITHIN_SECONDS)
    answer, arrivals = await site.ask(token(gone))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert arrivals == []


async def test_abuse_j6_nothing_within_a_request_becomes_a_request(site: Site, person: Person) -> None:
    """All at once: what would slip through has arrived when the last connection has been quiet."""
    requests = [
        f"POST /outer HTTP/1.1\r\nHost: a\r\nAuthorization: {token(person)[0][1]}\r\n{one}"
        for one in AMBIGUOUS
    ]
    site.upstream.take_arrivals()
    answers = await asyncio.gather(*(say(site.url, one.encode("latin-1")) for one in requests))
    arrivals = site.upstream.take_arrivals()
    assert [one for one in arrivals if one.path != "/outer" or one.identity != identity(person)] == []
    assert len(arrivals) < len(requests), "nothing was refused"
    assert all(one.startswith(b"HTTP/1.1 ") for one in answers)
    assert await site.lets_in(token(person))


async def test_abuse_k1_j6_http_2_hides_nothing(site: Site, person: Person) -> None:
    """As these configurations stand, all but nginx speak it without TLS."""
    speaks = site.name != "nginx"
    line = {":method": "GET", ":scheme": "http", ":path": "/outer", ":authority": "service.example"}
    mine = (*line.items(), *((name.lower(), value) for name, value in token(person)))
    site.upstream.take_arrivals()
    assert await ask_by_http2(site.url, mine) == (200 if speaks else None)
    assert [one.identity for one in site.upstream.take_arrivals()] == [identity(person)] * speaks
    assert await ask_by_http2(site.url, tuple(line.items())) == (401 if speaks else None)
    lies = [(name.lower(), "forged") for name in NAMES]
    within = "\r\nx-auth-account: forged\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n"
    requests = [(*mine, *lies), (*mine, *((name.replace("-", "_"), value) for name, value in lies))]
    requests += [
        (*mine, one)
        for one in (
            *(("x", f"y{end}x-auth-account: forged") for end in ("\r\n", "\n", "\r", "\0")),
            *(
                (name, "forged")
                for name in ("X-Auth-Account", "x-auth-account:", "x-auth-account ", f"x: y{within}x")
            ),
            *(("connection", "x-auth-account"), ("transfer-encoding", "chunked"), ("content-length", "5")),
        )
    ]
    requests += [(*({**line, name: line[name] + within}).items(), *mine[len(line) :]) for name in line]
    asked = (ask_by_http2(site.url, request) for request in requests)
    await asyncio.gather(*asked, ask_by_http2(site.url, mine, lies))
    seen = [(one.method, one.path, one.identity) for one in site.upstream.take_arrivals()]
    assert [one for one in seen if one != ("GET", "/outer", identity(person))] == []
    assert bool(seen) == speaks
