"""The example service stays exact, however often it is killed while people sign up."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from localstack.child import ends_with_parent
from tests.support.chancery import Chancery
from tests.support.tasks import eventually

ROOT = Path(__file__).parent.parent.parent
LEDGER = ROOT / "docs" / "examples" / "welcome_credit" / "ledger.py"
LANES = 4
PEOPLE_EACH = 6
KILLS = 5
WELCOME = 10
GREETING = "The ledger follows the feed."


async def start(chancery: Chancery) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        **chancery.settings,
        "PYTHONPATH": str(ROOT / "sdk"),
        "LEDGER_POSTGRES_DSN": chancery.settings["CHANCERY_POSTGRES_DSN"],
    }
    file = chancery.home / "log" / "ledger.log"
    before = file.read_text().count(GREETING) if file.exists() else 0
    with file.open("ab") as log:
        service = await asyncio.create_subprocess_exec(
            sys.executable,
            str(LEDGER),
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )

    async def has_begun() -> bool:
        return file.read_text().count(GREETING) > before

    await eventually(has_begun, within_seconds=60)
    return service


@pytest.fixture
async def ledger(chancery: Chancery) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(chancery.settings["CHANCERY_POSTGRES_DSN"])
    yield connection
    await connection.close()


async def arrive(chancery: Chancery) -> list[str]:
    """Some people, one after the other."""
    return [(await chancery.new_person()).account_id for _ in range(PEOPLE_EACH)]


async def test_every_person_is_welcomed_exactly_once(
    chancery: Chancery, ledger: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    chance, kills, service = random.Random(3), 0, await start(chancery)
    arriving = asyncio.gather(*(arrive(chancery) for _ in range(LANES)))
    while kills < KILLS:
        await asyncio.sleep(chance.uniform(0, 1))  # it is killed at any moment of its work
        service.kill()
        await service.wait()
        kills += 1
        service = await start(chancery)
    accounts = {account for arrived in await arriving for account in arrived}

    async def are_welcomed() -> bool:
        rows = await ledger.fetch("select account_id from credits")
        return accounts <= {row["account_id"] for row in rows}

    await eventually(are_welcomed, within_seconds=60)
    service.terminate()
    assert await asyncio.wait_for(service.wait(), 20) == 0
    owed = await ledger.fetchval("select amount from totals where name = 'owed'")
    assert owed == WELCOME * await ledger.fetchval("select count(*) from credits")
    assert {row["balance"] for row in await ledger.fetch("select balance from credits")} == {WELCOME}
    assert await ledger.fetchval("select count(*) from chancery_dead_letters") == 0
