"""10,000 facts and more, of every kind: read models built anew are the same to the byte, and nobody is mailed again.

PostgreSQL loses its schema, Valkey all that it holds.
"""

import asyncio
from collections.abc import Sequence

import pytest
import redis
from prometheus_client import CollectorRegistry

from eventstore.provision import write_genesis
from projectors.metrics import Metrics
from projectors.rebuild import begin, build, compare, hand_over
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.valkey_v1 import ValkeyV1
from projectors.versions import VersionWatch
from readmodels import valkey_keys
from readmodels.dump import digests
from readmodels.tables import READ_MODELS, create_tables
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.crowd import KINDS, Crowd, SmallReads
from tests.support.mailers import new_mailer
from tests.support.memory_keys import KeyTopic
from tests.support.post import post_box
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.valkey_dump import contents
from tests.support.writers import now

PARTITIONS = 4
SEED = 1
OF_THE_PAST = 205
NEW = 25
LATELY = 40
LEAST_FACTS = 10_000
BUILD_SECONDS = 60.0
SETTLE_SECONDS = 1.0
"""For the mailer to do what it might do."""
MAILER_TABLES = ("sent_mails", "checkpoints", "mailbox_uses", "bounces")
Contents = list[tuple[int, str]]


class Place:
    """The log, and all that reads it into one database."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.log = SmallReads(PARTITIONS, SEED)
        self.keys = KeyTopic()
        self.crowd = Crowd(Scribe(self.log, self.keys.keyring()), SEED)

    async def project(self) -> None:
        """What a projectors process does, until cancelled."""
        health, metrics = Health(), Metrics(CollectorRegistry())
        tables = Tables(self.postgres, (), metrics)
        runner = Runner(self.log, self.keys.keyring(), tables, health, metrics)
        watch = VersionWatch(self.postgres, tables, health)
        await asyncio.gather(runner.run(), watch.run())

    async def until_built(self) -> None:
        """Every read model has come to the end of every partition."""
        ends = {number: await self.log.end(number) for number in range(PARTITIONS)}

        async def is_built() -> bool:
            await create_tables(self.postgres)
            rows = await self.postgres.fetch("select partition, next_offset from chancery.checkpoints")
            there = [row["next_offset"] >= ends[row["partition"]] for row in rows]
            return len(there) == PARTITIONS * len(READ_MODELS) and all(there)

        await eventually(is_built, within_seconds=BUILD_SECONDS)

    async def contents(self, version: str = "") -> Contents:
        names = [f"{name}{version}" for name in READ_MODELS]
        return [(one.rows, one.sha256) for one in await digests(self.postgres, names)]

    async def mailed(self) -> Sequence[str]:
        """All that the mailer has noted, as text."""
        return [
            row["row"]
            for table in MAILER_TABLES
            for row in await self.postgres.fetch(
                f"select t::text as row from chancery_mailer.{table} t order by 1"  # names of this file
            )
        ]

    async def rebuild(self, read_model: str) -> None:
        """As `chancery projections rebuild <read model> --to v2` does."""
        version = await begin(self.postgres, read_model, 2)
        await build(self.log, self.keys.keyring(), self.postgres, version, rate=0, tell=lambda _: None)
        ready = await hand_over(self.postgres, version, PARTITIONS)
        compared = await compare(self.postgres, ready)
        assert (compared.is_exact, compared.is_equal) == (True, True), compared


@pytest.fixture
async def place(postgres: Postgres) -> Place:
    place = Place(postgres)
    await write_genesis(place.log, now)
    await create_tables(postgres)
    return place


async def test_valkey_holds_the_same_again_after_it_lost_all(
    postgres: Postgres, valkey: Valkey, valkey_admin: "redis.Redis"
) -> None:
    """First it follows people as they act, with few facts at a time; then it begins with all of the log, twice."""
    place = Place(postgres)
    await write_genesis(place.log, now)
    health, metrics = Health(), Metrics(CollectorRegistry())
    sink = ValkeyV1(valkey, metrics, partitions=PARTITIONS)
    runner = Runner(place.log, place.keys.keyring(), sink, health, metrics)

    async def is_built() -> bool:
        marked = valkey_admin.hlen(valkey_keys.FRESH) == PARTITIONS
        reached = [valkey_admin.hget(valkey_keys.checkpoint(one), "next_offset") for one in range(PARTITIONS)]
        ends = [str(await place.log.end(one)) for one in range(PARTITIONS)]
        return marked and reached == ends

    async with running(runner.run()):
        await place.crowd.live(OF_THE_PAST)
        await place.crowd.stay(LATELY)
        await eventually(is_built, within_seconds=BUILD_SECONDS)
        followed, again = contents(valkey_admin), []
        for is_generous in (False, True):
            place.log.generous = is_generous
            valkey_admin.flushall()
            await eventually(is_built, within_seconds=BUILD_SECONDS)
            again.append(contents(valkey_admin))
    assert again[0] == again[1]
    assert (again[0].sessions, again[0].books) == (followed.sessions, followed.books)
    assert again[0].revocations < followed.revocations, "those of the past are kept by whoever followed only"
    assert again[0].sessions.count(b"\n") == LATELY
    assert len(again[0].revocations) == len(again[0].pushed) == 2 * LATELY + LATELY // 2
    assert place.crowd.facts >= LEAST_FACTS
    print(  # noqa: T201  # the number of trials, for whoever runs it with -s
        f"rebuild of Valkey: {place.crowd.facts} facts, {LATELY} sessions, {len(again[0].revocations)} revocations"
    )
    valkey_admin.hset(f"{valkey_keys.checkpoint(0)}", "seq", "0")
    assert contents(valkey_admin) != again[0], "a changed member does not show"


async def test_ten_thousand_facts_make_the_same_rows_again_and_no_mail(place: Place) -> None:
    health = Health()
    async with post_box() as box:
        mailer = new_mailer(place.log, place.keys, place.postgres, box.port, health)

        async def is_mailed() -> bool:
            return health.failing() == {} and len(box.taken) >= NEW

        async with running(mailer.run()):
            async with running(place.project()):
                await place.crowd.live(OF_THE_PAST)
                await place.crowd.arrive(NEW)
                await place.until_built()
                first = await place.contents()
                await eventually(is_mailed, within_seconds=BUILD_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)
            mailed, taken = await place.mailed(), len(box.taken)
            small = place.log.batches
            await place.postgres.execute("drop schema chancery cascade")
            place.log.generous = True
            async with running(place.project()):
                await place.until_built()
                again = await place.contents()
                await asyncio.gather(*(place.rebuild(name) for name in READ_MODELS))
                beside = await place.contents("_v2")
            await asyncio.sleep(SETTLE_SECONDS)
            assert (await place.mailed(), len(box.taken)) == (mailed, taken)
    assert first == again == beside
    assert all(rows for rows, _ in first)
    assert set(place.crowd.written) == {cls.type for cls in KINDS}
    assert place.crowd.facts >= LEAST_FACTS
    assert taken == NEW
    print(  # noqa: T201  # the number of trials, for whoever runs it with -s
        f"rebuild: {place.crowd.facts} facts of {len(KINDS)} kinds, {small} small reads, "
        f"{sum(rows for rows, _ in first)} rows, {len(mailed)} rows of the mailer, {taken} mails"
    )
    await place.postgres.execute(
        "delete from chancery.sessions_v2 where session_id = (select max(session_id) from chancery.sessions_v2)"
    )
    assert await place.contents("_v2") != first, "a missing row does not show"
