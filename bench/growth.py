"""What grows with the number of accounts: the writer's memory, its start, a takeover, and the proof of the log.

`python -m bench.growth --accounts 1000000 --json` fills a log of its own through the real writer, on a real Kafka and
PostgreSQL, and prints one JSON object as its last line. About 3 minutes for 100,000 accounts.
"""

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.load import resident_bytes
from domain.account_commands import Register
from domain.aggregates import AGGREGATES, FOLD_VERSION
from domain.identifier import Claim, FailUnknownSignIn
from events.streams import account_stream, identifier_stream, new_id, partition_of, slot_of
from eventstore.commit import Actor
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.keyring import Keyring
from eventstore.postgres_key_index import PostgresKeyIndex
from eventstore.postgres_write_model import PostgresSnapshots, create_write_model
from eventstore.provision import Topics, create_topics, write_genesis
from eventstore.writer import Draft, Limits, Origin, Stores, Writer
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from replay.verify import Wanted, verify
from runtime.clock import utc_now
from runtime.collector import collect_seldom
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from runtime.postgres import Postgres

PARTITIONS = 8
TOPICS = Topics(
    events="growth",
    keys="growth.keys",
    public="growth.public",
    partitions=PARTITIONS,
    replication_factor=1,
)
ORIGIN = Origin(actor=Actor(kind="system", id="bench"))
CONCURRENT = 256
CACHE_BYTES = 64 * 1024 * 1024
TAIL = 10_000
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "c" * 22 + "$" + "h" * 43  # as long as a real one


@contextlib.asynccontextmanager
async def open_writer(stack: StackInfo, *, saves: bool) -> AsyncIterator[tuple[Writer, Keyring]]:
    async with contextlib.AsyncExitStack() as opened:
        log = KafkaLog(KafkaAccess(stack.kafka), TOPICS.events, PARTITIONS, timeout_seconds=10)
        store = KafkaKeyStore(KafkaAccess(stack.kafka), TOPICS.keys, PARTITIONS, timeout_seconds=10)
        for part in (log, store):
            opened.push_async_callback(part.stop)
            await part.start()
        postgres = await Postgres.open(stack.postgres_dsn)
        opened.push_async_callback(postgres.close)
        await create_write_model(postgres)
        keyring = Keyring(store, LocalKeyEncryption(bytes(32)), PostgresKeyIndex(postgres))
        stores = Stores(log=log, keyring=keyring, snapshots=PostgresSnapshots(postgres, FOLD_VERSION))
        writer = Writer(stores, AGGREGATES, utc_now, Limits(deadline_seconds=30, cache_bytes=CACHE_BYTES))
        opened.push_async_callback(writer.close)
        if saves:
            saving = asyncio.create_task(_keep_saved(writer, keyring))
            opened.push_async_callback(_stop, saving)
        yield writer, keyring


async def _keep_saved(writer: Writer, keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(1)  # as a command process saves
        await keyring.catch_up()
        await writer.save()


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _register(writer: Writer, keyring: Keyring, number: int) -> None:
    identifier = identifier_stream((number * 2_654_435_761 % (1 << 32)).to_bytes(4, "big") + bytes(28))
    account_id, challenge_id = new_id(slot_of(identifier)), new_id()
    account = account_stream(account_id)
    await keyring.create(account)

    def decide(draft: Draft) -> None:
        expires_at = draft.at
        claim = Claim(account_id=account_id, challenge_id=challenge_id, code_expires_at=expires_at)
        draft.decide(identifier, claim)
        register = Register(
            account_id=account_id,
            identifier=identifier,
            policy="open",
            email=f"person-{number}@example.com",
            display_name=None,
            password_hash=PASSWORD_HASH,
            challenge_id=challenge_id,
            code_expires_at=expires_at,
            at=draft.at,
        )
        draft.decide(account, register)

    await writer.transact(identifier, decide, ORIGIN)


async def _fill(stack: StackInfo, accounts: int) -> list[dict[str, Any]]:
    """Accounts, and the memory of this process, which is writer and load in one, as they grow."""
    rows = []
    async with open_writer(stack, saves=True) as (writer, keyring):
        await writer.catch_up()
        began, made = time.perf_counter(), 0
        for milestone in sorted({accounts // 100, accounts // 10, accounts // 4, accounts // 2, accounts}):
            numbers = iter(range(made, milestone))

            async def work(numbers: Any = numbers) -> None:
                for number in numbers:
                    await _register(writer, keyring, number)

            await asyncio.gather(*(work() for _ in range(CONCURRENT)))
            made = milestone
            row = {
                "accounts": made,
                "rss_mb": resident_bytes(os.getpid()) // 2**20,
                "seconds": round(time.perf_counter() - began, 1),
            }
            rows.append(row)
            print(row, flush=True)
        await writer.save()
    return rows


async def _start(stack: StackInfo) -> float:
    """Seconds until a new process knows the end of every partition, the write model being up to date."""
    async with open_writer(stack, saves=False) as (writer, _):
        began = time.perf_counter()
        await writer.catch_up()
        return round(time.perf_counter() - began, 3)


async def _takeover(stack: StackInfo) -> float:
    """Seconds until a new process has decided on one partition, TAIL commits after its last saved state."""
    stream = identifier_stream(b"\xff" * 32)
    async with open_writer(stack, saves=False) as (writer, _):

        async def write(count: int) -> None:
            for _ in range(count):
                await writer.transact(stream, _count, ORIGIN)

        await asyncio.gather(*(write(TAIL // 100) for _ in range(100)))
    async with open_writer(stack, saves=False) as (writer, _):
        began = time.perf_counter()
        await writer.catch_up([partition_of(stream, PARTITIONS)], deadline_seconds=60)
        await writer.transact(stream, _count, ORIGIN)
        return round(time.perf_counter() - began, 3)


def _count(draft: Draft) -> None:
    draft.decide(identifier_stream(b"\xff" * 32), FailUnknownSignIn())


def _verify(stack: StackInfo) -> dict[str, Any]:
    wanted = Wanted(access=KafkaAccess(stack.kafka), topic=TOPICS.events, partitions=PARTITIONS, heads={})
    proof = asyncio.run(verify(wanted, lambda _: None))
    assert not proof.broken
    rate = proof.records / proof.seconds
    return {"records": proof.records, "seconds": round(proof.seconds, 2), "records_per_second": round(rate)}


async def _bench(stack: StackInfo, accounts: int) -> dict[str, Any]:
    async with open_admin(KafkaAccess(stack.kafka)) as admin:
        await create_topics(admin, TOPICS)
    log = KafkaLog(KafkaAccess(stack.kafka), TOPICS.events, PARTITIONS)
    await log.start()
    await write_genesis(log, utc_now)
    await log.stop()
    rows = await _fill(stack, accounts)
    found = {"rows": rows, "start_seconds": await _start(stack), "takeover_seconds": await _takeover(stack)}
    print({name: value for name, value in found.items() if name != "rows"}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    collect_seldom()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {**os.environ, **free_port_variables()}
        stack = start_stack(home, environment, lifetime="caller", selection="infra")
        try:
            found = asyncio.run(_bench(stack, arguments.accounts))
            found["verify"] = _verify(stack)
            print(found["verify"], flush=True)
        finally:
            stop_stack(home)
    if arguments.json:
        print(json.dumps({"load": round(os.getloadavg()[0], 2), "cache_mb": CACHE_BYTES // 2**20, **found}))


if __name__ == "__main__":
    main()
