"""Clients that vanish at a random byte, or while they wait: nobody gets another's answer, and nothing leaks."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.postgres import Postgres
from tests.e2e.faults.conftest import judged
from tests.support.chancery import PASSWORD, Chancery, new_email
from tests.support.replicas import QUICK, Replica, fleet
from tests.support.soak import record, times
from tests.support.tasks import eventually, running
from tests.support.wire import connected, read_answer, request_bytes

VANISHING = 5000
AT_ONCE = 50
WITNESSES = 4
LINGER_SECONDS = 0.02
CALM_SECONDS = 15.0
POOLS = 10 + 32 + 64 + 8
"""Connections that pools may keep, however few of them they had before: to PostgreSQL, Valkey, other command processes, Kafka."""
LISTENING = "0A"


@pytest.fixture(scope="module")
async def replica(arena: Chancery) -> AsyncIterator[Replica]:
    async with fleet(arena, 1, QUICK) as started:
        yield started[0]


async def vanish(url: str, request: bytes, chance: random.Random) -> None:
    """After some of the request's bytes or all of them, at once or while the answer is being made."""
    whole = chance.random() < 0.5
    with contextlib.suppress(OSError):
        async with connected(url) as (_, writer):
            writer.write(request if whole else request[: chance.randrange(len(request))])
            await writer.drain()
            if whole:
                await asyncio.sleep(chance.uniform(0, LINGER_SECONDS))
            writer.transport.abort()


def requests_of(token: str) -> list[bytes]:
    bearer = f"Bearer {token}"
    return [
        request_bytes("PATCH", "/v1/me", {"display_name": new_email()}, authorization=bearer),
        request_bytes("POST", "/v1/sessions", {"email": new_email(), "password": PASSWORD}),
        request_bytes("POST", "/v1/password-resets", {"email": new_email()}),
        request_bytes(
            "PATCH",
            "/v1/me",
            {"display_name": new_email()},
            authorization=bearer,
            idempotency_key=new_email(),
        ),
    ]


async def witness(side: Chancery, refused: str) -> None:
    """On one connection for ever: every answer must be about what was just asked here."""
    async with connected(side.command_url) as (reader, writer):
        while True:
            name = new_email()
            body = {"display_name": "x" * 300, name: 1}
            writer.write(request_bytes("PATCH", "/v1/me", body, authorization=refused))
            answer = await read_answer(reader)
            assert answer.status == 422, answer
            assert name.encode() in answer.body, f"another's answer: {answer}"


@dataclass(frozen=True, slots=True)
class Held:
    """What a process keeps open: connections of clients, also those that the kernel has forgotten, and everything else."""

    clients: int
    others: int


def held_by(replica: Replica) -> Held:
    """A socket is a client's if its own end is the port that the process listens on, or if it is nowhere any more."""
    files = []
    for link in Path(f"/proc/{replica.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            files.append(str(link.readlink()))
    port = f":{int(replica.settings['CHANCERY_COMMAND_PORT']):04X}"
    tcp = [line.split() for line in _table(replica, "tcp")]
    ours = {row[9] for row in tcp if not row[1].endswith(port) or row[3] == LISTENING}
    ours |= {line.split()[6] for line in _table(replica, "unix")}
    clients = sum(file.startswith("socket:[") and file[8:-1] not in ours for file in files)
    return Held(clients=clients, others=len(files) - clients)


def _table(replica: Replica, name: str) -> list[str]:
    return Path(f"/proc/{replica.pid}/net/{name}").read_text().splitlines()[1:]


@pytest.mark.timeout(300 * times(1))
async def test_vanished_clients_leave_nothing_behind_and_take_nobodys_answer(
    arena: Chancery, replica: Replica
) -> None:
    person, chance = await arena.new_person(), random.Random()
    side, before = replica.chancery, held_by(replica)
    requests = requests_of(person.tokens["access_token"])
    witnesses = [witness(side, person.bearer["authorization"]) for _ in range(WITNESSES)]
    async with running(*witnesses):
        for _ in range(times(VANISHING) // AT_ONCE):
            await asyncio.gather(
                *(vanish(side.command_url, chance.choice(requests), chance) for _ in range(AT_ONCE))
            )

    async def has_let_go() -> bool:
        now = held_by(replica)
        return now.clients <= before.clients and now.others <= before.others + POOLS

    with contextlib.suppress(TimeoutError):
        await eventually(has_let_go, within_seconds=CALM_SECONDS)
    after = held_by(replica)
    assert await has_let_go(), f"{before} before, {after} after"
    assert (await side.sign_in(person.email)).status_code == 201
    await eventually(lambda: no_transaction_is_left(arena), within_seconds=CALM_SECONDS)
    record("vanishing clients", times(VANISHING), files_before=before.others, files_after=after.others)
    await judged(arena)


async def no_transaction_is_left(arena: Chancery) -> bool:
    """Of all processes of this stack: those that work are between two statements only for a moment."""
    postgres = await Postgres.open(arena.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    try:
        (row,) = await postgres.fetch(
            "select count(*) as left_over from pg_stat_activity"
            " where state = 'idle in transaction' and state_change < now() - interval '1 second'"
        )
    finally:
        await postgres.close()
    return int(row["left_over"]) == 0
