"""What one call too many is answered, what is counted apart, and how settings say it. No store is needed for any of it."""

from collections.abc import AsyncIterator, Mapping

import pytest
from fastapi import Request
from prometheus_client import CollectorRegistry

from command_api.rate_limits import RateLimits, nobody_knows, too_many
from runtime.rate_counters import Exceeded, Limit, RateCounters
from runtime.rates import Rate, parse_rate
from runtime.redis import Valkey
from runtime.serving.answers import AnswerError

EXCEEDED = Exceeded(limit=Limit(name="address-sign-ins", count=100, seconds=60), wait_seconds=37)
FIELDS = {
    "retry-after": "37",
    "ratelimit-policy": '"address-sign-ins";q=100;w=60',
    "ratelimit": '"address-sign-ins";r=0;t=37',
}
NAMES = (
    "address-sign-ups", "address-sign-ins", "address-codes", "address-mails", "address-tokens", "account-mails",
    "client-tokens",
)  # fmt: skip
ONCE = {name: Rate(1, 86_400) for name in NAMES}


@pytest.fixture
async def limits() -> AsyncIterator[RateLimits]:
    """Each call may come once; counted by this process alone, because there is no store."""
    valkey = Valkey.open("redis://127.0.0.1:1/0", timeout_seconds=0.1)
    yield RateLimits(RateCounters(valkey, CollectorRegistry(), divisor=3), ONCE, b"k" * 32)
    await valkey.close()


def request(ip: str | None, path: str = "/v1/sessions", state: Mapping[str, object] | None = None) -> Request:
    client = None if ip is None else (ip, 4711)
    return Request(
        {"type": "http", "path": path, "headers": [], "client": client, "state": dict(state or {})}
    )


async def status_of(limits: RateLimits, asked: Request) -> int | None:
    """None for a call that may go on."""
    try:
        await limits.count_address(asked, "address-sign-ins")
    except AnswerError as error:
        return error.answer.status
    return None


def test_one_call_too_many_is_a_problem_that_says_when_to_come_back() -> None:
    answer = too_many(EXCEEDED, "/v1/sessions")
    assert answer.status == 429
    assert answer.body == (
        b'{"type":"urn:chancery:problem:rate-limited","title":"Too many requests. Try again later.","status":429}'
    )
    assert answer.headers == {
        **FIELDS,
        "content-type": "application/problem+json",
        "cache-control": "no-store",
    }


def test_at_the_token_endpoint_it_is_an_error_of_oauth() -> None:
    answer = too_many(EXCEEDED, "/oauth/token")
    assert answer.status == 429
    assert answer.body == (
        b'{"error":"temporarily_unavailable","error_description":"Too many requests. Try again later."}'
    )
    assert answer.headers == {**FIELDS, "content-type": "application/json", "cache-control": "no-store"}


def test_a_call_that_cannot_be_counted_now_is_to_be_sent_again() -> None:
    answer = nobody_knows("/v1/sessions")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"urn:chancery:problem:unavailable" in answer.body
    assert b'"error":"temporarily_unavailable"' in nobody_knows("/oauth/token").body


async def test_abuse_d3_prefixes_are_counted_apart_and_aliases_together(limits: RateLimits) -> None:
    asked = [
        ("203.0.113.9", None),
        ("::ffff:203.0.113.9", 429),
        ("203.0.113.10", None),
        ("2001:db8:1:2::1", None),
        ("2001:db8:1:2:ffff::1", 429),
        ("2001:DB8:1:3::1", None),
        (None, None),
        (None, 429),
    ]
    assert [(ip, await status_of(limits, request(ip))) for ip, _ in asked] == asked


async def test_a_call_that_was_handed_on_is_not_counted_again(limits: RateLimits) -> None:
    handed_on = request("203.0.113.9", state={"forwarded": object()})
    assert await status_of(limits, request("203.0.113.9")) is None
    assert await status_of(limits, handed_on) is None
    await limits.count_account(handed_on, "account-mails", "a")
    await limits.count_account(handed_on, "account-mails", "a")


async def test_accounts_and_clients_are_counted_apart_from_prefixes(limits: RateLimits) -> None:
    asked = request("203.0.113.9")
    for subject in ("one", "another"):
        await limits.count_account(asked, "account-mails", subject)
        await limits.count_client(asked, subject)
        with pytest.raises(AnswerError):
            await limits.count_account(asked, "account-mails", subject)
        with pytest.raises(AnswerError):
            await limits.count_client(asked, subject)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600/60", Rate(600, 60)),
        (" 1/1 ", Rate(1, 1)),
        ("0", Rate(0, 1)),
        ("240000/86400", Rate(240_000, 86_400)),
    ],
)
def test_a_rate_is_a_count_and_seconds(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate
    assert parse_rate(rate) is rate


@pytest.mark.parametrize(
    "text", ["", "600", "0/60", "60/0", "-1/60", "1.5/60", "6e2/60", "600/60/60", "٣/60"]
)
def test_other_texts_are_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="must be a count and seconds, as in 600/60, or 0 for no limit"):
        parse_rate(text)
