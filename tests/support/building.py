"""Builds PostgreSQL's read models from a log in memory, all at once or in steps."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from eventstore.chain import Head
from eventstore.memory_log import MemoryLog
from projectors.follower import Batch, Follower, read_log_id
from projectors.metrics import Metrics
from projectors.projector import Projector
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.versions import first_versions
from runtime.health import Health
from runtime.postgres import Postgres
from tests.support.memory_keys import KeyTopic


def new_tables(postgres: Postgres, projectors: Sequence[Projector] | None = None) -> Tables:
    return Tables(postgres, projectors or first_versions(), Metrics(CollectorRegistry()))


def new_runner(log: MemoryLog, keys: KeyTopic, postgres: Postgres, health: Health | None = None) -> Runner:
    registry = CollectorRegistry()
    return Runner(log, keys.keyring(), new_tables(postgres), health or Health(), Metrics(registry))


async def build(log: MemoryLog, keys: KeyTopic, tables: Tables, cuts: list[int]) -> None:
    """Apply what the tables do not have yet, in batches of these sizes and then the rest."""
    for batch in cut(await rest_of(log, keys, await opened(log, tables), tables), cuts):
        await tables.apply(0, batch)


async def opened(log: MemoryLog, tables: Tables, partition: int = 0) -> Head:
    return await tables.open(partition, await read_log_id(log, partition))


async def rest_of(
    log: MemoryLog, keys: KeyTopic, head: Head, tables: Tables, partition: int = 0
) -> list[Batch]:
    batch = await Follower(log, keys.keyring(), partition, head, tables.handles).next(wait_seconds=0.01)
    return [] if batch is None else list(batch.split())


def cut(singles: list[Batch], sizes: list[int]) -> list[Batch]:
    batches = []
    while singles:
        size = sizes.pop(0) if sizes else len(singles)
        part, singles = singles[:size], singles[size:]
        batches.append(Batch(commits=tuple(commit for b in part for commit in b.commits), head=part[-1].head))
    return batches
