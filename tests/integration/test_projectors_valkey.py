"""Revocations in Valkey, and what verdicts say while stores come, go, and forget."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import redis

from events.streams import client_stream
from readmodels import valkey_keys as keys_of
from readmodels.revocations import Revocations
from readmodels.revoked_tokens import TokenIds, Verdict
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, client, given_up
from tests.support.runners import PARTITIONS, revoke_one, tables_runner, valkey_runner
from tests.support.scribe import Scribe
from tests.support.stores import Verdicts
from tests.support.tasks import eventually, running
from tests.support.writers import new_log

STALE = timedelta(seconds=1)
ENOUGH = timedelta(seconds=60)


@pytest.fixture
def verdicts(valkey: Valkey, postgres: Postgres) -> Verdicts:
    return Verdicts(valkey=valkey, postgres=postgres, partitions=PARTITIONS)


async def is_verdict(asked: Revocations, session_id: str | None, verdict: Verdict, jti: str = "j") -> bool:
    return await asked.verdict(TokenIds(session_id=session_id, jti=jti)) == verdict


async def test_a_revoked_session_is_refused_and_others_are_live(valkey: Valkey, verdicts: Verdicts) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    ended, kept = await revoke_one(scribe)
    asked = verdicts.within(ENOUGH)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_verdict(asked, kept, "live"))
        assert await asked.verdict(TokenIds(session_id=ended, jti="j")) == "revoked"
        several = [TokenIds(session_id=s, jti="j") for s in (kept, ended, kept)]
        assert await asked.verdicts(several) == ("live", "revoked", "live")
        assert await asked.verdicts([]) == ()


async def test_a_client_token_is_refused_by_its_own_id(valkey: Valkey, verdicts: Verdicts) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    client_id = account_id_in(0)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    await Scribe(log, keys.keyring()).write(client_stream(client_id), client(client_id), given_up("j1", soon))
    asked = verdicts.within(ENOUGH)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_verdict(asked, None, "live", "j2"))
        assert await asked.verdict(TokenIds(session_id=None, jti="j1")) == "revoked"


async def test_a_flushed_valkey_is_rebuilt_and_never_calls_a_revoked_session_live(
    valkey: Valkey, verdicts: Verdicts, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    ended, kept = await revoke_one(scribe)
    asked = verdicts.within(ENOUGH)
    seen: set[Verdict] = set()

    async def is_rebuilt() -> bool:
        verdict = await asked.verdict(TokenIds(session_id=ended, jti="j"))
        seen.add(verdict)
        return verdict == "revoked" and await asked.verdict(TokenIds(session_id=kept, jti="j")) == "live"

    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(is_rebuilt)
        for _ in range(3):
            valkey_admin.flushall()
            assert await asked.verdict(TokenIds(session_id=kept, jti="j")) == "unknown"
            await eventually(is_rebuilt)
    assert "live" not in seen


async def test_an_older_copy_of_valkey_is_brought_up_to_date(
    valkey: Valkey, verdicts: Verdicts, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    _, kept = await revoke_one(scribe)
    asked = verdicts.within(ENOUGH)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_verdict(asked, kept, "live"))
        backup = _copy(valkey_admin)
        later, _ = await revoke_one(scribe)
        await eventually(lambda: is_verdict(asked, later, "revoked"))
        _restore(valkey_admin, backup)
        await eventually(lambda: is_verdict(asked, later, "revoked"))


async def test_a_valkey_of_another_log_is_not_believed(valkey: Valkey, verdicts: Verdicts) -> None:
    keys = KeyTopic()
    asked = verdicts.within(ENOUGH)
    for _ in range(2):
        log = await new_log(PARTITIONS)
        ended, kept = await revoke_one(Scribe(log, keys.keyring()))
        async with running(valkey_runner(log, keys, valkey).run()):
            await eventually(lambda ended=ended: is_verdict(asked, ended, "revoked"))  # type: ignore[misc]  # bound now
            await eventually(lambda kept=kept: is_verdict(asked, kept, "live"))  # type: ignore[misc]  # bound now


async def test_a_stopped_projector_makes_verdicts_unknown_and_revoked_stays_revoked(
    valkey: Valkey, verdicts: Verdicts
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    ended, kept = await revoke_one(Scribe(log, keys.keyring()))
    asked = verdicts.within(STALE)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_verdict(asked, kept, "live"))
    await eventually(lambda: is_verdict(asked, kept, "unknown"))
    assert await asked.verdict(TokenIds(session_id=ended, jti="j")) == "revoked"


async def test_postgresql_answers_while_valkey_cannot(valkey: Valkey, verdicts: Verdicts) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    ended, kept = await revoke_one(scribe)
    client_id = account_id_in(0)
    await scribe.write(client_stream(client_id), client(client_id), given_up("j1", datetime.now(UTC)))
    asked = verdicts.within(STALE)
    async with running(tables_runner(log, keys, verdicts.postgres).run()):
        await eventually(lambda: is_verdict(asked, kept, "live"))
        several = [TokenIds(session_id=ended, jti="j"), TokenIds(session_id=None, jti="j1")]
        assert await asked.verdicts(several) == ("revoked", "revoked")
        assert (
            await asked.verdict(TokenIds(session_id="a session too young for the tables", jti="j")) == "live"
        )
    await eventually(lambda: is_verdict(asked, kept, "unknown"))
    assert await asked.verdicts(several) == ("revoked", "revoked")


async def test_nobody_answers_is_unknown_within_the_deadline(postgres: Postgres) -> None:
    nowhere = Valkey.open("redis://127.0.0.1:1/0", timeout_seconds=1)
    gone = await Postgres.open("postgresql://postgres@127.0.0.1:1/postgres")
    asked = Verdicts(valkey=nowhere, postgres=gone, partitions=PARTITIONS).within(STALE)
    assert await asked.verdict(TokenIds(session_id="s", jti="j")) == "unknown"
    await nowhere.close()
    await gone.close()


async def test_entries_live_as_long_as_tokens_and_old_ones_are_skipped(
    valkey: Valkey, verdicts: Verdicts, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    old, _ = await revoke_one(scribe, at=datetime.now(UTC) - timedelta(minutes=62))
    middle, kept = await revoke_one(scribe, at=datetime.now(UTC) - timedelta(minutes=30))
    asked = verdicts.within(ENOUGH)
    async with running(valkey_runner(log, keys, valkey).run()):
        await eventually(lambda: is_verdict(asked, kept, "live"))
        fresh, _ = await revoke_one(scribe, at=datetime.now(UTC) - timedelta(minutes=30))
        await eventually(lambda: is_verdict(asked, fresh, "revoked"))
    lives = [_life_minutes(valkey_admin, session_id) for session_id in (old, middle, fresh)]
    assert lives == [0, 31, 61]
    entries: Sequence[tuple[str, dict[str, str]]] = valkey_admin.xrange(keys_of.STREAM)  # type: ignore[assignment]  # the client is typed for both its forms
    assert [entry["id"] for _, entry in entries] == [middle, fresh]


async def test_a_valkey_that_may_forget_is_refused(
    valkey: Valkey, verdicts: Verdicts, valkey_admin: "redis.Redis"
) -> None:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    _, kept = await revoke_one(Scribe(log, keys.keyring()))
    health = Health()
    asked = verdicts.within(ENOUGH)
    valkey_admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with running(valkey_runner(log, keys, valkey, health).run()):
            await eventually(lambda: says(health, "set noeviction"))
            assert await asked.verdict(TokenIds(session_id=kept, jti="j")) == "unknown"
            valkey_admin.config_set("maxmemory-policy", "noeviction")
            await eventually(lambda: is_verdict(asked, kept, "live"))
    finally:
        valkey_admin.config_set("maxmemory-policy", "noeviction")


def _life_minutes(client: "redis.Redis", session_id: str) -> int:
    left = client.pttl(keys_of.revoked_session(session_id))
    assert isinstance(left, int)
    return round(max(0, left) / 60_000)


def _copy(client: "redis.Redis") -> dict[str, dict[str, str]]:
    """The hashes that say how far this Valkey came."""
    names: Sequence[str] = client.keys(f"{keys_of.PREFIX}checkpoint:*")  # type: ignore[assignment]  # as above
    return {name: client.hgetall(name) for name in (*names, keys_of.FRESH)}  # type: ignore[misc]  # as above


def _restore(client: "redis.Redis", backup: dict[str, dict[str, str]]) -> None:
    """Everything that came after the copy is gone, in one step."""
    with client.pipeline(transaction=True) as all_at_once:
        for key in client.keys(f"{keys_of.PREFIX}revoked:*"):
            all_at_once.delete(key)
        for name, fields in backup.items():
            all_at_once.delete(name)
            all_at_once.hset(name, mapping=fields)  # type: ignore[arg-type]  # as above
        all_at_once.execute()


async def says(health: Health, words: str) -> bool:
    return any(words in reason for reason in health.failing().values())
