"""Live sessions in Valkey and, where that cannot be believed, in the tables: both say the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import redis

from eventstore.memory_log import MemoryLog
from readmodels.live_sessions import LiveSession, LiveSessions, Missing
from readmodels.revoked_tokens import TokenIds
from readmodels.tables import create_tables
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.examples import refreshed
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.runners import PARTITIONS, tables_runner, valkey_runner
from tests.support.scribe import Scribe
from tests.support.stores import Verdicts
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

ENOUGH = timedelta(seconds=60)


def sessions_in(valkey: Valkey, postgres: Postgres, stale: timedelta = ENOUGH) -> LiveSessions:
    verdicts = Verdicts(valkey=valkey, postgres=postgres, partitions=PARTITIONS).within(stale)
    return LiveSessions(valkey, postgres, verdicts, partitions=PARTITIONS, stale=stale)


async def is_found(asked: LiveSessions, session_id: str, expected: LiveSession | Missing) -> bool:
    return await asked.find(session_id) == expected


async def is_found_in_tables(asked: LiveSessions, session_id: str, expected: LiveSession | Missing) -> bool:
    return await asked.find_in_tables(session_id) == expected


async def history(log: MemoryLog, keys: KeyTopic) -> tuple[LiveSession, str]:
    """A refreshed session as it must be found, and the id of one that was ended after a refresh."""
    account_id = account_id_in(1)
    now = datetime.now(UTC).replace(microsecond=0)
    times = {"started_at": now, "idle_expires_at": now + 9 * ENOUGH, "expires_at": now + 20 * ENOUGH}
    kept, ended = (replace(session_of(account_id, n), **times) for n in (1, 2))  # type: ignore[arg-type]  # all are times
    rotated = replace(refreshed(2, now + ENOUGH, kept.session_id), idle_expires_at=now + 10 * ENOUGH)
    gone = replace(refreshed(2, now + ENOUGH, ended.session_id), idle_expires_at=now + 10 * ENOUGH)
    scribe = Scribe(log, keys.keyring())
    await scribe.write(stream_of(account_id), registered(account_id), kept, ended)
    await scribe.write(stream_of(account_id), rotated, gone, revoked(ended), gone)
    found = LiveSession(
        session_id=kept.session_id,
        account_id=account_id,
        client_id=kept.client_id,
        scope=kept.scope,
        amr=kept.amr,
        acr=kept.acr,
        generation=2,
        refreshed_at=now + ENOUGH,
        refresh_expires_at=now + 10 * ENOUGH,
    )
    return found, ended.session_id


async def test_valkey_and_the_tables_find_the_same_session(valkey: Valkey, postgres: Postgres) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    await create_tables(postgres)
    kept, ended = await history(log, keys)
    asked = sessions_in(valkey, postgres)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_found(asked, kept.session_id, kept))
        assert await asked.find(ended) == "ended"
        assert await asked.find("never-made") == "ended"
    async with running(tables_runner(log, keys, postgres).run()):
        await eventually(lambda: is_found_in_tables(asked, kept.session_id, kept))
        assert await asked.find_in_tables(ended) == "ended"
        assert await asked.find_in_tables("never-made") == "ended"


async def test_a_session_is_gone_from_valkey_when_it_has_expired(
    valkey: Valkey, postgres: Postgres, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    account_id = account_id_in(0)
    now = datetime.now(UTC)
    old = replace(
        session_of(account_id, 1), started_at=now - ENOUGH, idle_expires_at=now, expires_at=now + ENOUGH
    )
    await Scribe(log, keys.keyring()).write(stream_of(account_id), old)
    asked = sessions_in(valkey, postgres)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_found(asked, old.session_id, "ended"))
    assert valkey_admin.keys("chancery:v1:session:*") == []


async def test_nobody_is_believed_when_no_store_is_fresh(
    valkey: Valkey, postgres: Postgres, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    await create_tables(postgres)
    kept, _ = await history(log, keys)
    async with running(valkey_runner(log, keys, valkey).run(), tables_runner(log, keys, postgres).run()):
        await eventually(lambda: is_found(sessions_in(valkey, postgres), kept.session_id, kept))
    valkey_admin.flushall()
    stale = sessions_in(valkey, postgres, stale=timedelta(0))
    assert await stale.find(kept.session_id) == "unknown"
    assert await stale.find("never-made") == "unknown"


async def test_a_session_of_another_log_is_never_found(valkey: Valkey, postgres: Postgres) -> None:
    first, second, keys = await new_log(PARTITIONS), await new_log(PARTITIONS), KeyTopic()
    kept, _ = await history(first, keys)
    asked = sessions_in(valkey, postgres)
    async with running(valkey_runner(first, keys, valkey).run()):
        await eventually(lambda: is_found(asked, kept.session_id, kept))
    async with running(valkey_runner(second, keys, valkey).run()):
        await eventually(lambda: is_found(asked, kept.session_id, "ended"))


async def test_who_waited_for_a_position_believes_no_tables_that_are_behind(
    valkey: Valkey, postgres: Postgres
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    await create_tables(postgres)
    kept, _ = await history(log, keys)
    verdicts = Verdicts(valkey=valkey, postgres=postgres, partitions=PARTITIONS).within(ENOUGH)
    asked = sessions_in(valkey, postgres)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_found(asked, kept.session_id, kept))
        assert await verdicts.verdict(TokenIds(session_id=kept.session_id, jti="j")) == "live"
        assert await verdicts.verdict_at_position(TokenIds(session_id=kept.session_id, jti="j")) == "unknown"
        assert await asked.find_in_tables(kept.session_id) == "unknown"
