"""The e-mail set is linearizable: sign-up, change, undo, close, over replicas that are killed meanwhile."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.e2e.faults.conftest import judged
from tests.support.chancery import Chancery
from tests.support.email_clients import Contest
from tests.support.email_set import EMAIL_SET
from tests.support.history import History
from tests.support.letters import Letters
from tests.support.linearizability import check
from tests.support.replicas import QUICK, RIVALS, Replica, fleet, kill_in_turn
from tests.support.soak import record, times
from tests.support.tasks import batched, running

REPLICAS = 4
CLIENTS = 8
HISTORIES = 200
AT_ONCE = 8
CALM_SECONDS = 3.0


@pytest.fixture(scope="module")
async def replicas(arena: Chancery) -> AsyncIterator[list[Replica]]:
    async with fleet(arena, REPLICAS, QUICK, CHANCERY_SIGNUP="open", **RIVALS) as started:
        yield started


@pytest.mark.timeout(900 * times(1))
async def test_the_email_set_is_linearizable_while_replicas_die(
    arena: Chancery, replicas: list[Replica]
) -> None:
    letters, seed = Letters(arena.home), random.randrange(2**32)
    sides = [replica.chancery for replica in replicas]
    contests = [
        Contest(history=History(sides=sides), letters=letters, chance=random.Random(seed + number))
        for number in range(times(HISTORIES))
    ]
    turn = asyncio.Semaphore(AT_ONCE)

    async def hold(contest: Contest) -> None:
        async with turn:
            await asyncio.gather(*(contest.live(client) for client in range(CLIENTS)))

    began = time.monotonic()
    async with running(kill_in_turn(replicas, random.Random(seed), calm_seconds=CALM_SECONDS)):
        await asyncio.gather(*(hold(contest) for contest in contests))
    for replica in replicas:
        await replica.until_ready()
    for few in batched(contests, AT_ONCE):
        await asyncio.gather(*(contest.finish() for contest in few))
    outcomes = await judged(arena, *(contest.history for contest in contests))
    checked: Counter[str] = Counter()
    for contest in contests:
        operations = list(contest.operations())
        checked.update(type(operation.asked).__name__ for operation in operations)
        verdict = check(EMAIL_SET, operations)
        assert verdict.is_linearizable, f"seed {seed}: {verdict}"
    record(
        "email set",
        len(contests),
        operations=str(dict(checked)),
        kills=sum(replica.deaths for replica in replicas),
        seconds=round(time.monotonic() - began),
        seed=seed,
        **outcomes,
    )
