"""Projectors of a test's own over a log in memory, into a real Valkey or PostgreSQL, and what they may have to tell."""

from datetime import datetime

from prometheus_client import CollectorRegistry

from eventstore.memory_log import MemoryLog
from projectors.metrics import Metrics
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.valkey_v1 import ValkeyV1
from projectors.versions import first_versions
from runtime.health import Health
from runtime.postgres import Postgres
from runtime.redis import Valkey
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, revoked, session_of, stream_of
from tests.support.scribe import Scribe

PARTITIONS = 2


def valkey_runner(log: MemoryLog, keys: KeyTopic, valkey: Valkey, health: Health | None = None) -> Runner:
    metrics = Metrics(CollectorRegistry())
    sink = ValkeyV1(valkey, metrics, partitions=PARTITIONS)
    return Runner(log, keys.keyring(), sink, health or Health(), metrics)


def tables_runner(log: MemoryLog, keys: KeyTopic, postgres: Postgres) -> Runner:
    metrics = Metrics(CollectorRegistry())
    tables = Tables(postgres, first_versions(), metrics)
    return Runner(log, keys.keyring(), tables, Health(), metrics)


async def revoke_one(scribe: Scribe, at: datetime | None = None) -> tuple[str, str]:
    """The ids of a session that was revoked at that time, and of one that was not."""
    account_id = account_id_in(1)
    ended, kept = session_of(account_id, 1), session_of(account_id, 2)
    await scribe.write(stream_of(account_id), ended, kept, revoked(ended), at=at)
    return ended.session_id, kept.session_id
