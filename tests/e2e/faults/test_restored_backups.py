"""A write model from a backup: an older one catches up with the log, one that knows more than the log is found out."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

import pytest

from events.streams import SIGNING_KEYS, account_stream, partition_of
from runtime.postgres import Postgres
from tests.e2e.faults.conftest import judged
from tests.support.chancery import Chancery, Person, problem_code
from tests.support.history import Command, History
from tests.support.log_reading import partition_count
from tests.support.replicas import QUICK, RIVALS, Replica, fleet
from tests.support.soak import record, times
from tests.support.tasks import eventually

TRIALS = 2
COMMANDS = 30
AHEAD = """
update write_model.checkpoints
set seq = seq + 50, hash = 'from a longer log', record_offset = record_offset + 50, next_offset = next_offset + 50
where partition = $1
"""
Held = Literal["people", "signing-keys"]
ANOTHER = "update write_model.checkpoints set hash = 'from another log' where partition = $1"


class Databases:
    """Databases of this test's own beside the stack's."""

    def __init__(self, dsn: str, server: Postgres) -> None:
        self._dsn = dsn
        self._server = server

    def dsn(self, name: str) -> str:
        return urlsplit(self._dsn)._replace(path=f"/{name}").geturl()

    async def new(self, copy_of: str = "template1") -> str:
        name = f"t{uuid.uuid4().hex}"
        await self._server.execute(f"create database {name} template {copy_of}")
        return name

    async def change(self, name: str, sql: str, *values: object) -> None:
        postgres = await Postgres.open(self.dsn(name), max_connections=1)
        try:
            await postgres.execute(sql, *values)
        finally:
            await postgres.close()


@pytest.fixture
async def databases(arena: Chancery) -> AsyncIterator[Databases]:
    dsn = arena.settings["CHANCERY_POSTGRES_DSN"]
    server = await Postgres.open(dsn, max_connections=1)
    yield Databases(dsn, server)
    await server.close()


@asynccontextmanager
async def replica_on(arena: Chancery, dsn: str) -> AsyncIterator[Replica]:
    async with fleet(arena, 1, QUICK, CHANCERY_POSTGRES_DSN=dsn, **RIVALS) as (replica,):
        yield replica


async def rename(history: History, person: Person, count: int) -> None:
    for number in range(count):
        request = {"json": {"display_name": f"Ada {uuid.uuid4()}"}, "headers": person.bearer}
        command = Command(
            method="PATCH", path="/v1/me", effect="profile.changed", request=request, client=number
        )
        assert (await history.ask(command)).status_code == 204


@pytest.mark.timeout(300 * times(1))
async def test_an_older_write_model_catches_up_and_forgets_nothing(
    arena: Chancery, databases: Databases
) -> None:
    for _ in range(times(TRIALS)):
        present, person = await databases.new(), await arena.new_person()
        async with replica_on(arena, databases.dsn(present)) as replica:
            history = History(sides=[replica.chancery])
            await rename(history, person, COMMANDS)
            await until_saved(databases, present)
        older = await databases.new(copy_of=present)
        first = person.tokens["refresh_token"]
        async with replica_on(arena, databases.dsn(present)) as replica:
            later = History(sides=[replica.chancery])
            await rename(later, person, COMMANDS)
            second = (await replica.chancery.refresh(first)).json()["refresh_token"]
            third = (await replica.chancery.refresh(second)).json()["refresh_token"]
        async with replica_on(arena, databases.dsn(older)) as replica:
            restored = History(sides=[replica.chancery], lines=later.lines, commands=later.commands)
            await restored.settle(sample=COMMANDS)
            await rename(restored, person, 1)
            stolen = await replica.chancery.refresh(first)
            assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
            assert (await replica.chancery.refresh(third)).status_code == 400
        await judged(arena, history, restored)
    record("older write model", times(TRIALS))


async def until_saved(databases: Databases, name: str) -> None:
    """The write model has begun, so that there is something to go back to."""
    postgres = await Postgres.open(databases.dsn(name), max_connections=1)

    async def is_saved() -> bool:
        row = await postgres.fetch_one("select max(seq) as seq from write_model.checkpoints")
        return row is not None and row["seq"] is not None and row["seq"] > 0

    try:
        await eventually(is_saved)
    finally:
        await postgres.close()


@pytest.mark.parametrize("tampering", [AHEAD, ANOTHER], ids=["ahead", "another"])
@pytest.mark.parametrize("held", ["people", "signing-keys"])
@pytest.mark.timeout(300)
async def test_a_write_model_of_another_log_halts_its_partition_and_says_why(
    arena: Chancery, databases: Databases, tampering: str, held: Held
) -> None:
    database, person = await databases.new(), await person_beside(arena, held)
    partition = partition_for(arena, account_stream(person.account_id))
    async with replica_on(arena, databases.dsn(database)) as replica:
        await rename(History(sides=[replica.chancery]), person, COMMANDS)
        await until_saved(databases, database)
        await replica.stop()
        await databases.change(database, tampering, partition)
        await replica.start()

        async def is_halted() -> bool:
            answer = await replica.chancery.command("GET", "/health/ready")
            return f"partition-{partition}" in answer.json().get("failing", {})

        await eventually(replica.is_alive, within_seconds=30)
        await eventually(is_halted, within_seconds=10)
        refused = await replica.chancery.command(
            "PATCH", "/v1/me", json={"display_name": "x"}, headers=person.bearer
        )
        assert (refused.status_code, problem_code(refused)) == (503, "log-halted")
    record("write model of another log", 1)
    await judged(arena)


def partition_for(arena: Chancery, stream: str) -> int:
    return partition_of(stream, partition_count(arena.settings))


async def person_beside(arena: Chancery, held: Held) -> Person:
    """Somebody whose partition is the one of the signing keys, or is one that holds people only."""
    for _ in range(100):
        person = await arena.new_person()
        partition = partition_for(arena, account_stream(person.account_id))
        if (partition == partition_for(arena, SIGNING_KEYS)) == (held == "signing-keys"):
            return person
    raise AssertionError("nobody was dealt that partition")
