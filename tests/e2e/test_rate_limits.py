"""Calls that come too often, to processes that hand calls on to one another, from clients behind a trusted proxy."""

import asyncio
import itertools
import re
import secrets
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any

import httpx
import pytest

from command_api.replicas import BEAT_SECONDS
from localstack.ports import free_port_variables
from tests.e2e.conftest import second_command_process
from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, bearer, new_email, problem_code
from tests.support.replicas import QUICK, Replica, fleet
from tests.support.unlimited import UNLIMITED

FEW, SECONDS = 12, 86_400
LIMITED = dict.fromkeys(UNLIMITED, f"{FEW}/{SECONDS}")
BEHIND_A_PROXY = {"CHANCERY_TRUSTED_PROXIES": "127.0.0.0/8"}
NOWHERE = "redis://127.0.0.1:1/0"
CODE = {"email": "nobody@example.com", "code": "00000000"}
CALLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "/v1/accounts": ("address-sign-ups", {"json": {"email": "no address", "password": PASSWORD}}),
    "/v1/sessions": ("address-sign-ins", {"json": {"email": "nobody@example.com", "password": PASSWORD}}),
    "/v1/passkey-sessions/options": ("address-sign-ins", {}),
    "/v1/passkey-sessions": ("address-sign-ins", {"json": {}}),
    "/v1/email-verifications": ("address-codes", {"json": CODE}),
    "/v1/email-verifications/resend": ("address-mails", {"json": {"email": "nobody@example.com"}}),
    "/v1/password-resets": ("address-mails", {"json": {"email": "nobody@example.com"}}),
    "/v1/password-resets/confirm": ("address-codes", {"json": {**CODE, "new_password": PASSWORD}}),
    "/v1/email-changes/undo": ("address-codes", {"json": {"code": "x"}}),
    "/oauth/token": ("address-tokens", {"data": {"grant_type": "refresh_token", "refresh_token": "x"}}),
    "/oauth/revoke": ("address-tokens", {"data": {"token": "x"}}),
}
_REFUSED_PASSWORDS = re.compile(
    r'^chancery_http_request_seconds_count\{method="POST",route="/v1/sessions",status="401"\} (\S+)',
    re.MULTILINE,
)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def replicas(chancery: Chancery) -> AsyncIterator[list[Replica]]:
    """Three, all of whose limits are the same few calls."""
    async with fleet(chancery, 3, QUICK, **LIMITED, **BEHIND_A_PROXY) as started:
        await asyncio.sleep(2 * BEAT_SECONDS + 0.2)  # everybody has heard of everybody
        yield started


@pytest.fixture
def prefix() -> str:
    return new_prefix()


def new_prefix() -> str:
    """A /64 that nobody called from before, without its last part."""
    return f"2001:db8:{secrets.randbelow(0xF000) + 0x1000:x}:{next(_numbers):x}:"


def from_address(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


def is_limited(answer: httpx.Response) -> bool:
    return answer.status_code == 429


def assert_let_in(answers: Sequence[httpx.Response], count: int) -> None:
    """So many and no more; fewer only where a loaded machine could not tell in time, and said so."""
    statuses = Counter(answer.status_code for answer in answers)
    let_in = statuses.total() - statuses[429] - statuses[503]
    assert let_in == count or (let_in < count and statuses[503]), statuses
    assert 500 not in statuses


async def ask(side: Chancery, path: str, address: str) -> httpx.Response:
    return await side.command("POST", path, headers=from_address(address), **CALLS[path][1])


async def all_of(*asked: Awaitable[httpx.Response]) -> Sequence[httpx.Response]:
    return await asyncio.gather(*asked)


@pytest.mark.parametrize("path", CALLS)
async def test_every_counted_call_is_refused_beyond_its_limit(
    replicas: list[Replica], prefix: str, path: str
) -> None:
    """From as many addresses of one prefix, through as many processes, as there are calls."""
    sides = [replica.chancery for replica in replicas]
    answers = await all_of(*(ask(sides[n % 3], path, f"{prefix}:{n:x}") for n in range(2 * FEW)))
    assert_let_in(answers, FEW)
    refused = [answer for answer in answers if is_limited(answer)]
    assert refused
    name = CALLS[path][0]
    for answer in refused:
        wait = int(answer.headers["retry-after"])
        assert 1 <= wait <= SECONDS
        assert answer.headers["ratelimit-policy"] == f'"{name}";q={FEW};w={SECONDS}'
        assert answer.headers["ratelimit"] == f'"{name}";r=0;t={wait}'
        if path.startswith("/oauth/"):
            assert set(answer.json()) == {"error", "error_description"}
        else:
            assert problem_code(answer) == "rate-limited"
    pages = [(await side.http.get(side.command_url + "/metrics")).text for side in sides]
    assert f'chancery_rate_limited_total{{limit="{name}"}}' in "".join(pages)
    assert all("chancery_rate_limits_alone 0.0" in page for page in pages)


@pytest.mark.parametrize("path", CALLS)
async def test_the_openapi_document_tells_of_the_answer(replicas: list[Replica], path: str) -> None:
    side = replicas[0].chancery
    document = (await side.http.get(side.command_url + "/openapi.json")).json()
    assert "429" in document["paths"][path]["post"]["responses"]


async def test_abuse_d3_another_prefix_is_not_refused(replicas: list[Replica], prefix: str) -> None:
    side = replicas[0].chancery
    path = "/v1/email-changes/undo"
    assert {is_limited(await ask(side, path, f"{prefix}:1")) for _ in range(FEW)} == {False}
    assert is_limited(await ask(side, path, f"{prefix}ffff::1"))
    neighbour = prefix.removesuffix(":") + "f::1"
    assert not is_limited(await ask(side, path, neighbour))


async def test_abuse_d3_an_ipv4_address_has_no_second_spelling(replicas: list[Replica]) -> None:
    side, path = replicas[0].chancery, "/v1/email-changes/undo"
    address = ".".join(str(byte) for byte in (198, 18, *uuid.uuid4().bytes[:2]))
    spellings = [address, f"::ffff:{address}", f"::FFFF:{address}", f"0:0:0:0:0:ffff:{address}"]
    answers = [await ask(side, path, spellings[n % 4]) for n in range(FEW + 4)]
    assert [is_limited(answer) for answer in answers] == [False] * FEW + [True] * 4


async def test_abuse_d2_without_a_trusted_proxy_no_header_makes_another_client(chancery: Chancery) -> None:
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    more = {"CHANCERY_LIMIT_ADDRESS_CODES": "5/59"}
    async with second_command_process(chancery, port, more) as side:
        refused = 0
        for n in range(15):
            lies = dict.fromkeys(("x-forwarded-for", "x-real-ip", "x-client-ip"), f"203.0.113.{n}")
            lies["forwarded"] = f"for=203.0.113.{n}"
            answer = await side.command("POST", "/v1/email-changes/undo", headers=lies, json={"code": "x"})
            refused += is_limited(answer)
    assert refused == 10


async def test_abuse_d2_garbage_from_a_proxy_does_not_turn_the_limit_off(chancery: Chancery) -> None:
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    more = {"CHANCERY_LIMIT_ADDRESS_CODES": "5/58", **BEHIND_A_PROXY}
    async with second_command_process(chancery, port, more) as side:
        garbage = ["", "unknown", "1.2.3", "<script>", "a" * 5000, ","]
        answers = [await ask(side, "/v1/email-changes/undo", garbage[n % 6]) for n in range(15)]
    assert sum(is_limited(answer) for answer in answers) == 10


async def refused_passwords(replicas: Sequence[Replica]) -> int:
    """How many 401 all of them have answered, to clients and to one another."""
    pages = [await one.chancery.http.get(one.chancery.command_url + "/metrics") for one in replicas]
    return sum(int(float(count)) for page in pages for count in _REFUSED_PASSWORDS.findall(page.text))


async def test_a_call_that_is_handed_on_is_counted_once(replicas: list[Replica]) -> None:
    """So many e-mail addresses lie in all partitions, most of which prefer another process than the door."""
    before = await refused_passwords(replicas)
    for door in replicas:
        headers = from_address(f"{new_prefix()}:1")
        answers = await all_of(
            *(door.chancery.sign_in(new_email(), OTHER_PASSWORD, headers=headers) for _ in range(2 * FEW))
        )
        assert {answer.status_code for answer in answers} <= {401, 429, 503}
        assert_let_in(answers, FEW)
    assert await refused_passwords(replicas) > before + 3 * FEW, "nothing was handed on"


async def test_the_audit_and_the_limits_know_one_address(
    chancery: Chancery, replicas: list[Replica], prefix: str
) -> None:
    person = await chancery.new_person()
    client = f"{prefix}:abcd"
    lie = {"x-forwarded-for": f"203.0.113.7, {client.upper()}", "x-real-ip": "203.0.113.8"}
    for replica in replicas:
        tokens = (await replica.chancery.sign_in(person.email, headers=lie)).json()
        at = {**bearer(tokens["access_token"]), "chancery-min-position": tokens["position"]}
    shown = (await chancery.query("GET", "/v1/me/sessions", headers=at)).json()["sessions"]
    assert {session["ip"] for session in shown} == {client, "127.0.0.1"}


async def test_abuse_c3_known_and_unknown_people_are_counted_alike(
    chancery: Chancery, replicas: list[Replica], prefix: str
) -> None:
    person = await chancery.new_person()
    side = replicas[0].chancery
    told = []
    for kind, email in enumerate((person.email, new_email())):
        headers = from_address(f"{prefix.removesuffix(':')}{kind}::1")
        answers = [await side.sign_in(email, OTHER_PASSWORD, headers=headers) for _ in range(FEW + 1)]
        for path in ("/v1/password-resets", "/v1/email-verifications/resend"):
            request = {"headers": headers, "json": {"email": email}}
            answers += [await side.command("POST", path, **request) for _ in range(FEW // 2 + 1)]
        told.append([(answer.status_code, answer.content) for answer in answers])
    assert told[0] == told[1]
    statuses = [status for status, _ in told[0]]
    assert statuses == [401] * FEW + [429] + [202] * FEW + [429, 429]


async def test_a_refusal_is_not_kept_under_its_idempotency_key(chancery: Chancery, prefix: str) -> None:
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    more = {"CHANCERY_LIMIT_ADDRESS_SIGN_INS": "1/2", **BEHIND_A_PROXY}
    person = await chancery.new_person()
    key = {**from_address(f"{prefix}:1"), "idempotency-key": str(uuid.uuid4())}
    async with second_command_process(chancery, port, more) as side:
        assert (await side.sign_in(new_email(), headers=from_address(f"{prefix}:1"))).status_code == 401
        refused = await side.sign_in(person.email, headers=key)
        assert refused.status_code == 429
        await asyncio.sleep(int(refused.headers["retry-after"]) + 0.1)  # as long as it says
        answer = await side.sign_in(person.email, headers=key)
        assert answer.status_code == 201
        assert (await side.sign_in(person.email, headers=key)).status_code == 429
    again = await chancery.sign_in(person.email, headers=key)
    assert (again.status_code, again.content) == (201, answer.content)


async def test_mails_of_an_account_are_counted_by_account(
    chancery: Chancery, replicas: list[Replica], prefix: str
) -> None:
    person, other = await chancery.new_person(), await chancery.new_person()
    sides = [replica.chancery for replica in replicas]

    async def change(bearing: Mapping[str, str], number: int) -> httpx.Response:
        headers = {**bearing, **from_address(f"{prefix[:-1]}{number:x}::1")}
        body = {"new_email": new_email(), "password": PASSWORD}
        return await sides[number % 3].command("POST", "/v1/me/email-changes", headers=headers, json=body)

    answers = await all_of(*(change(person.bearer, number) for number in range(FEW + 5)))
    assert_let_in(answers, FEW)
    assert not is_limited(await change(other.bearer, 0))


async def test_tokens_of_a_client_are_counted_once_its_secret_is_proven(
    chancery: Chancery, prefix: str
) -> None:
    """By the process that decides, so these two keep their calls to themselves."""
    client = await chancery.new_client("orders.read")
    more = {**LIMITED, **BEHIND_A_PROXY, "CHANCERY_FORWARDING": "off"}
    async with fleet(chancery, 2, QUICK, **more) as rivals:

        async def token(secret: str, number: int) -> httpx.Response:
            headers = from_address(f"{prefix[:-1]}{number:x}::1")
            data = {"grant_type": "client_credentials"}
            auth = (client["client_id"], secret)
            side = rivals[number % 2].chancery
            return await side.command("POST", "/oauth/token", headers=headers, auth=auth, data=data)

        guesses = await all_of(*(token("x" * 43, number) for number in range(2 * FEW)))
        assert {answer.status_code for answer in guesses} == {401}
        answers = await all_of(*(token(client["client_secret"], number) for number in range(2 * FEW)))
    assert {answer.status_code for answer in answers} <= {200, 429, 503}
    assert_let_in(answers, FEW)
    refused = next(answer for answer in answers if is_limited(answer))
    assert refused.headers["ratelimit-policy"] == f'"client-tokens";q={FEW};w={SECONDS}'
    assert refused.json()["error"] == "temporarily_unavailable"


async def test_without_valkey_limits_hold_more_strictly(chancery: Chancery, prefix: str) -> None:
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    more = {"CHANCERY_REDIS_URL": NOWHERE, **LIMITED, **BEHIND_A_PROXY}
    async with second_command_process(chancery, port, more) as side:
        answers = await all_of(
            *(side.sign_in(new_email(), headers=from_address(f"{prefix}:{n:x}")) for n in range(2 * FEW))
        )
        assert sorted(answer.status_code for answer in answers) == [401] * (FEW // 3) + [429] * (2 * FEW - 4)
        assert (await side.http.get(side.command_url + "/health/ready")).status_code == 200
        page = (await side.http.get(side.command_url + "/metrics")).text
    assert "chancery_rate_limits_alone 1.0" in page
    refused = next(answer for answer in answers if is_limited(answer))
    assert refused.headers["ratelimit-policy"] == f'"address-sign-ins";q={FEW // 3};w={SECONDS}'
