"""kill -9 of the mailer while mails flow: none is lost, one comes again only as itself, bounces are told once."""

import asyncio
import contextlib
import itertools
import random
import uuid
from collections.abc import Mapping

import httpx
import pytest

from eventstore.chain import Counted
from localstack.inbox import Mail, inbox_file, read_mails
from localstack.mailcatcher import REFUSED_DOMAIN
from runtime.postgres import Postgres
from tests.support.chancery import PASSWORD, Chancery, new_email, until_ready
from tests.support.daily_life import health_urls
from tests.support.log_reading import read_log, settled_heads
from tests.support.mail_judge import asked_for, bounced, mail_faults, repetitions
from tests.support.processes import life_now, life_of, paused
from tests.support.soak import record, times
from tests.support.tasks import eventually, running

DOMAIN = "chancery.localhost"
KILLS = 5
PEOPLE = 3
BETWEEN_SECONDS = (0.3, 1.5)
BACK_SECONDS = 40.0
HEALED_SECONDS = 30.0


async def sign_up_for_ever(arena: Chancery, client: int) -> None:
    """Every third address has no mailbox."""
    for number in itertools.count(client):
        email = new_email()
        await sign_up(arena, email.replace("example.com", REFUSED_DOMAIN) if number % 3 == 0 else email)


async def sign_up(arena: Chancery, email: str) -> None:
    body, key = {"email": email, "password": PASSWORD}, {"idempotency-key": str(uuid.uuid4())}
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                answer = await arena.command("POST", "/v1/accounts", json=body, headers=key)
            except httpx.TransportError:
                await asyncio.sleep(0.1)  # between two tries, within the test's time-out
                continue
            if answer.status_code == 202:
                return
            assert answer.status_code == 503, answer.text


def all_mails(arena: Chancery) -> list[Mail]:
    return list(read_mails(inbox_file(arena.home)))


async def settled(arena: Chancery) -> Mapping[str, Counted]:
    """The log, once every mail that it asks for was dealt with and no report of a bounce is owed."""
    await settled_heads(arena.settings, await read_log(arena.settings))
    await eventually(lambda: owes_nothing(arena), within_seconds=HEALED_SECONDS)
    return await read_log(arena.settings)


async def owed(arena: Chancery) -> int:
    postgres = await Postgres.open(arena.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    try:
        sql = "select count(*) as owed from chancery_mailer.bounces where reported_at is null"
        (row,) = await postgres.fetch(sql)
    finally:
        await postgres.close()
    return int(row["owed"])


async def owes_nothing(arena: Chancery) -> bool:
    return await owed(arena) == 0


async def until_back(arena: Chancery, name: str, before: object) -> None:
    async def is_back() -> bool:
        now = life_now(arena.home, name)
        return now is not None and now != before and now.is_ready

    await eventually(is_back, within_seconds=BACK_SECONDS)


@pytest.mark.timeout(300 * times(1))
async def test_killing_the_mailer_again_and_again_loses_no_mail_and_tells_each_bounce_once(
    arena: Chancery,
) -> None:
    before, chance = await settled(arena), random.Random()
    already = repetitions(all_mails(arena))
    async with running(*(sign_up_for_ever(arena, client) for client in range(PEOPLE))):
        for _ in range(times(KILLS)):
            await asyncio.sleep(chance.uniform(*BETWEEN_SECONDS))
            life = life_of(arena.home, "mailer")
            life.kill()
            await until_back(arena, "mailer", life)
    after, mails = await settled(arena), all_mails(arena)
    assert mail_faults(before, after, mails, DOMAIN) == []
    new = [after[at] for at in after.keys() - before.keys()]
    bounces, wanted = sum(bounced(new).values()), len(asked_for(new, DOMAIN))
    assert bounces > 0
    record(
        "kill -9 mailer under mail",
        times(KILLS),
        mails=wanted,
        bounces=bounces,
        again=repetitions(mails) - already,
    )


@pytest.mark.timeout(300 * times(1))
async def test_a_command_api_that_is_away_holds_up_no_mail_and_hears_of_every_bounce_later(
    arena: Chancery,
) -> None:
    before = await settled(arena)
    refused = [new_email().replace("example.com", REFUSED_DOMAIN) for _ in range(3)]
    good, mailer = new_email(), life_of(arena.home, "mailer")

    async def owes_all() -> bool:
        return await owed(arena) == len(refused)

    async def is_another() -> bool:
        return life_now(arena.home, "mailer") not in (None, mailer)

    async with contextlib.AsyncExitStack() as asleep:
        async with paused(mailer.pid):
            for email in (*refused, good):
                await sign_up(arena, email)
            await asleep.enter_async_context(paused(life_of(arena.home, "command").pid))
        assert len(await arena.mails_to(good)) == 1
        await eventually(owes_all, within_seconds=HEALED_SECONDS)
        mailer.kill()
        await eventually(is_another, within_seconds=BACK_SECONDS)
        assert await owes_all()
    for url in health_urls(arena):
        await until_ready(arena.http, url)
    after = await settled(arena)
    assert mail_faults(before, after, all_mails(arena), DOMAIN) == []
    assert sum(bounced([after[at] for at in after.keys() - before.keys()]).values()) == len(refused)
