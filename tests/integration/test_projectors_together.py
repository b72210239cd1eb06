"""Several partitions in one transaction: the same rows as one by one, and none holds up another."""

import asyncio
from collections.abc import Mapping
from types import NoneType

import pytest

from eventstore.chain import Head
from eventstore.memory_log import MemoryLog
from projectors.accounts import Accounts
from projectors.follower import Batch
from projectors.keep_going import OutrunError
from projectors.sessions import Sessions
from projectors.tables import Tables
from runtime.postgres import Postgres
from tests.support.building import build, cut, new_tables, opened, rest_of
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.table_dump import dump, empty
from tests.support.writers import new_log


async def batches_of(
    log: MemoryLog, keys: KeyTopic, tables: Tables, heads: Mapping[int, Head]
) -> dict[int, Batch]:
    """All of each partition that the tables lack, as one batch."""
    found = {}
    for number, head in heads.items():
        (found[number],) = cut(await rest_of(log, keys, head, tables, number), [])
    return found


class Stage:
    """A log of some partitions; tables that went on well in each of them, so that they go together from now on."""

    def __init__(self, postgres: Postgres, log: MemoryLog) -> None:
        self._postgres = postgres
        self.log = log
        self.keys = KeyTopic()
        self.scribe = Scribe(log, self.keys.keyring())

    async def people(self) -> None:
        """One in each partition, whose session has ended."""
        for number in range(self.log.partitions):
            account_id = account_id_in(number)
            session = session_of(account_id)
            await self.scribe.write(stream_of(account_id), registered(account_id))
            await self.scribe.write(stream_of(account_id), session, revoked(session))

    async def tables(self) -> tuple[Tables, dict[int, Batch]]:
        """With what they lack, after one more person in each partition."""
        tables = new_tables(self._postgres)
        heads = {number: await opened(self.log, tables, number) for number in range(self.log.partitions)}
        first = await batches_of(self.log, self.keys, tables, heads)
        for number, batch in first.items():
            await tables.apply(number, batch)
        await self.people()
        heads = {number: batch.head for number, batch in first.items()}
        return tables, await batches_of(self.log, self.keys, tables, heads)


@pytest.fixture
async def stage(postgres: Postgres) -> Stage:
    stage = Stage(postgres, await new_log(3))
    await stage.people()
    return stage


async def apply_all(tables: Tables, batches: Mapping[int, Batch]) -> list[type]:
    """At the same time; the kind of error for each, or NoneType."""
    ends = await asyncio.gather(
        *(tables.apply(number, batch) for number, batch in batches.items()), return_exceptions=True
    )
    return [type(end) for end in ends]


async def writers(postgres: Postgres) -> int:
    """How many transactions have left the checkpoints as they are."""
    (row,) = await postgres.fetch("select count(distinct xmin::text) as many from chancery.checkpoints")
    return int(row["many"])


async def test_small_batches_of_several_partitions_share_a_transaction(
    postgres: Postgres, stage: Stage
) -> None:
    tables, batches = await stage.tables()
    assert await apply_all(tables, batches) == [NoneType] * 3
    assert await writers(postgres) == 1
    together = await dump(postgres)
    await empty(postgres)
    for number in range(3):
        alone = new_tables(postgres)
        head = await opened(stage.log, alone, number)
        await alone.apply(number, (await batches_of(stage.log, stage.keys, alone, {number: head}))[number])
    assert await dump(postgres) == together
    assert (len(together["accounts"]), len(together["sessions"])) == (6, 6)


async def test_what_was_just_opened_goes_alone(postgres: Postgres, stage: Stage) -> None:
    """It may have failed before: what holds it up must not hold up the others again."""
    tables, batches = await stage.tables()
    await opened(stage.log, tables, 1)
    assert await apply_all(tables, batches) == [NoneType] * 3
    assert await writers(postgres) == 2


async def test_a_partition_that_was_outrun_holds_up_none_that_it_went_with(
    postgres: Postgres, stage: Stage
) -> None:
    ours, batches = await stage.tables()
    theirs = new_tables(postgres)
    await opened(stage.log, theirs, 1)
    await theirs.apply(1, batches[1])
    assert await apply_all(ours, batches) == [NoneType, OutrunError, NoneType]
    assert len((await dump(postgres))["accounts"]) == 6


async def test_other_projectors_may_be_wanted_while_a_batch_is_applied(
    postgres: Postgres, stage: Stage
) -> None:
    """A checkpoint that moved without its rows would be a hole that nobody sees."""
    tables = new_tables(postgres, [Accounts(1), Sessions(1)])
    head = await opened(stage.log, tables)
    (batch,) = cut(await rest_of(stage.log, stage.keys, head, tables), [])
    async with postgres.transaction() as tx:
        await tx.fetch("select seq from chancery.checkpoints for update")
        applying = asyncio.create_task(tables.apply(0, batch))
        assert (await asyncio.wait({applying}, timeout=0.3))[1]
        tables.build([Accounts(1)])
    await asyncio.wait_for(applying, 5)
    rows = await dump(postgres)
    assert (len(rows["accounts"]), len(rows["sessions"])) == (1, 1)


async def test_a_projector_that_is_ahead_is_not_moved_back(postgres: Postgres, stage: Stage) -> None:
    ahead = new_tables(postgres, [Sessions(1)])
    await build(stage.log, stage.keys, ahead, [])
    both = new_tables(postgres, [Sessions(1), Accounts(1)])
    head = await opened(stage.log, both)
    first, second, *_ = cut(await rest_of(stage.log, stage.keys, head, both), [1, 1])
    await both.apply(0, first)
    await both.apply(0, second)
    asked = (
        "select projector, seq from chancery.checkpoints where partition = 0 and seq >= 0 order by projector"
    )
    found = [(row["projector"], row["seq"]) for row in await postgres.fetch(asked)]
    assert found == [("accounts_v1", second.head.seq), ("sessions_v1", 2)]


async def test_a_mark_of_freshness_claims_no_more_than_was_applied(postgres: Postgres, stage: Stage) -> None:
    tables, batches = await stage.tables()
    ends = {number: batch.head.next_offset for number, batch in batches.items()}
    await tables.apply(1, batches[1])
    assert await tables.mark_fresh(await tables.ask_time(), ends) == {1}
    (row,) = await postgres.fetch(
        "select array_agg(distinct partition) as marked from chancery.checkpoints where fresh_at is not null"
    )
    assert row["marked"] == [1]
