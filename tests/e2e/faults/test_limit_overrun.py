"""Two hundred wrong passwords at once on three replicas, and attackers who make the counters forget."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from tests.support.chancery import OTHER_PASSWORD, Chancery, Person
from tests.support.log_reading import read_log
from tests.support.processes import forget_valkey
from tests.support.replicas import QUICK, Replica, fleet
from tests.support.soak import record, times
from tests.support.wire import exchange, request_bytes

REPLICAS = 3
WRONG_PASSWORDS = 200
ROUNDS = 20
MOST_ROUNDS = 60
"""A burst may be shed as a whole while Valkey is slow."""
PASSES = 40
PASSWORDS = 10
SECONDS = 300
"""Longer than a round, so that none of its calls finds a window that has moved on."""
SETTINGS = {
    "CHANCERY_LIMIT_ADDRESS_SIGN_INS": f"{PASSES}/{SECONDS}",
    "CHANCERY_LIMIT_SIGN_IN_FAILURES": str(PASSWORDS),
    "CHANCERY_TRUSTED_PROXIES": "127.0.0.0/8",
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def replicas(arena: Chancery) -> AsyncIterator[list[Replica]]:
    async with fleet(arena, REPLICAS, QUICK, **SETTINGS) as started:
        yield started


async def guess(replicas: Sequence[Replica], email: str, prefix: int) -> Mapping[int, int]:
    """How many of two hundred wrong passwords at once, from as many addresses of one prefix, had which answer."""
    urls = [replica.chancery.command_url for replica in replicas]

    async def one(number: int) -> int:
        body = {"email": email, "password": f"{OTHER_PASSWORD} {number}"}
        address = f"2001:db8:0:{prefix:x}::{number:x}"
        request = request_bytes("POST", "/v1/sessions", body, x_forwarded_for=address)
        return (await exchange(urls[number % REPLICAS], request)).status

    return Counter(await asyncio.gather(*(one(number) for number in range(WRONG_PASSWORDS))))


async def evaluated(chancery: Chancery, *causes: str) -> Mapping[str, int]:
    """How many attempts on each account the log has with one of these causes, however they were answered."""
    found: Counter[str] = Counter()
    for counted in (await read_log(chancery.settings)).values():
        for event in counted.commit.events:
            if event.type == "sign_in.failed" and event.data["cause"] in causes:
                found[event.stream] += 1
    return found


def streams(people: Sequence[Person]) -> list[str]:
    return [f"account-{person.account_id}" for person in people]


@pytest.mark.timeout(300 * times(1))
async def test_abuse_d1_of_two_hundred_passwords_at_once_no_more_are_let_in_than_the_limit(
    arena: Chancery, replicas: list[Replica]
) -> None:
    people = await asyncio.gather(*(arena.new_person() for _ in range(times(ROUNDS))))
    shed = 0
    for person in people:
        statuses = await guess(replicas, person.email, next(_numbers))
        assert set(statuses) <= {401, 429, 503}, statuses
        assert statuses[401] <= PASSES, statuses
        shed += statuses[503]
    attempts = await evaluated(arena, "wrong-password", "locked")
    passwords = await evaluated(arena, "wrong-password")
    most = max(attempts[stream] for stream in streams(people))
    assert 0 < most <= PASSES
    assert max(passwords[stream] for stream in streams(people)) <= PASSWORDS
    record("address limit overrun", len(people), limit=PASSES, most_evaluated=most, shed=shed)


async def test_abuse_d8_counters_that_are_flushed_let_nobody_guess_on(
    arena: Chancery, replicas: list[Replica]
) -> None:
    """The prefix gets its calls again; the account's failures are in the log, and its lock-out stays."""
    person, prefix = await arena.new_person(), next(_numbers)
    rounds = 0
    for _ in range(MOST_ROUNDS):
        rounds += (await guess(replicas, person.email, prefix))[401] > 0
        forget_valkey(arena.settings["CHANCERY_REDIS_URL"])
        if rounds == 3:
            break
    assert rounds == 3, "whole bursts were shed"
    passwords = await evaluated(arena, "wrong-password")
    assert [passwords[stream] for stream in streams([person])] == [PASSWORDS]
    assert (await replicas[0].chancery.sign_in(person.email)).status_code == 401
