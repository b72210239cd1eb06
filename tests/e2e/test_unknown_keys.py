"""Floods of tokens that name keys which nobody has (A6): they are refused, cost the stores nothing, and change nothing."""

import asyncio
import time

import pytest

from chancery_sdk.token_feed import LEAST_KEYS_SECONDS, Source, open_tokens
from chancery_sdk.tokens import InvalidTokenError
from events.streams import new_id
from runtime.postgres import Postgres
from tests.support.chancery import Chancery
from tests.support.forge import HEADER, PAYLOAD, Mint

TOKENS = 400
AT_ONCE = 50
LOOKS_PER_SECOND = 15
"""Those that a flood may cause (every 0.1 s) with those that are made anyway, by all query processes of the stack."""
JWKS = 'chancery_http_request_seconds_count{method="GET",route="/.well-known/jwks.json",status="200"}'


def forged(mint: Mint) -> list[str]:
    return [mint.token(header={**HEADER, "kid": new_id()}, payload=PAYLOAD) for _ in range(TOKENS)]


async def looks(postgres: Postgres) -> int:
    """How often the table of keys was read, by anybody."""
    row = await postgres.fetch_one(
        "select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) as looks from pg_stat_user_tables "
        "where schemaname = 'chancery' and relname like 'signing_keys%' order by 1 desc limit 1"
    )
    assert row is not None
    return int(row["looks"])


async def test_abuse_a6_unknown_keys_cause_no_flood_of_looks(chancery: Chancery) -> None:
    person = await chancery.new_person()
    tokens = forged(Mint.new())
    postgres = await Postgres.open(chancery.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    before, began = await looks(postgres), time.monotonic()
    for first in range(0, TOKENS, AT_ONCE):
        found = await asyncio.gather(
            *(chancery.introspect(token) for token in tokens[first : first + AT_ONCE])
        )
        assert found == [{"active": False}] * AT_ONCE
        assert (await chancery.introspect(person.tokens["access_token"]))["active"]
    await asyncio.sleep(1.1)  # PostgreSQL tells of what was read a second later
    elapsed = time.monotonic() - began
    assert await looks(postgres) - before <= LOOKS_PER_SECOND * elapsed
    await postgres.close()


async def test_abuse_a6_an_edge_asks_once_a_second_and_keeps_its_keys(chancery: Chancery) -> None:
    person = await chancery.new_person()
    tokens = forged(Mint.new())
    async with open_tokens(Source(url=chancery.query_url, **chancery.client), audience="chancery") as sdk:
        before, began = await fetched(chancery), time.monotonic()
        for token in tokens:
            with pytest.raises(InvalidTokenError):
                await sdk.check(token)
            assert sdk.verify(person.tokens["access_token"]).subject == person.account_id
        elapsed = time.monotonic() - began
        assert await fetched(chancery) - before <= 2 * (elapsed / LEAST_KEYS_SECONDS + 2)


async def fetched(chancery: Chancery) -> float:
    metrics = (await chancery.query("GET", "/metrics")).text
    return float(metrics.partition(JWKS)[2].split()[0]) if JWKS in metrics else 0.0
