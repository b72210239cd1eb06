"""The risk worker while its broker dies, and while it dies itself: what is concluded comes, once."""

import asyncio

from tests.support.broker import Broker
from tests.support.chancery import OTHER_PASSWORD, Chancery, Person, until_ready
from tests.support.processes import life_of
from tests.support.risk import conclusions
from tests.support.tasks import eventually

NOTICES = [("owner_notice.requested", "sign-in-failures")]
LIMIT = 15
CONCLUDED_SECONDS = 90.0


async def guess(chancery: Chancery, person: Person, times: int) -> None:
    """So many refusals that count: an answer of 503 is asked again."""
    while times:
        answer = await chancery.sign_in(person.email, OTHER_PASSWORD)
        assert answer.status_code in (401, 503), answer.text
        times -= answer.status_code == 401
        await asyncio.sleep(0 if answer.status_code == 401 else 0.2)


async def until_told(chancery: Chancery, person: Person) -> None:
    async def is_told() -> bool:
        return await conclusions(chancery, person.account_id) == NOTICES

    await eventually(is_told, within_seconds=CONCLUDED_SECONDS)


async def test_a_broker_that_dies_in_the_middle_of_a_burst_loses_no_conclusion(arena: Chancery) -> None:
    person = await arena.new_person()
    await guess(arena, person, LIMIT // 2)
    broker = Broker(arena.home, arena.settings["CHANCERY_KAFKA_BOOTSTRAP"])
    async with broker.killed():
        pass
    await guess(arena, person, LIMIT)
    await until_told(arena, person)


async def test_the_stacks_own_worker_is_started_again_and_tells_once(arena: Chancery) -> None:
    person = await arena.new_person()
    await guess(arena, person, LIMIT - 1)
    life_of(arena.home, "risk").kill()
    await guess(arena, person, 3)
    await until_told(arena, person)
    await until_ready(arena.http, f"http://127.0.0.1:{arena.settings['CHANCERY_RISK_PORT']}")
    await guess(arena, person, 2)
    await asyncio.sleep(2)  # in which a second telling would come
    assert await conclusions(arena, person.account_id) == NOTICES
