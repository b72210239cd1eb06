"""Fixtures: a real PostgreSQL and Valkey, an empty database and an empty store for each test."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from readmodels.revocation_feed import RevocationFeed
from readmodels.revocations import Revocations, RevocationView
from runtime.postgres import Postgres
from runtime.redis import Valkey


@pytest.fixture(scope="session")
def projector_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("projectors")
    yield start_stack(home, {**os.environ, **free_port_variables()}, selection="infra", lifetime="caller")
    stop_stack(home)


@pytest.fixture
async def database_dsn(projector_stack: StackInfo) -> str:
    """A new database of its own."""
    name = f"t{uuid.uuid4().hex}"
    server = await Postgres.open(projector_stack.postgres_dsn, max_connections=1)
    await server.execute(f"create database {name}")
    await server.close()
    return urlsplit(projector_stack.postgres_dsn)._replace(path=f"/{name}").geturl()


@pytest.fixture
async def postgres(database_dsn: str) -> AsyncIterator[Postgres]:
    postgres = await Postgres.open(database_dsn)
    yield postgres
    await postgres.close()


@pytest.fixture
def valkey_admin(projector_stack: StackInfo) -> Iterator["redis.Redis"]:
    """The same Valkey, to do to it what happens to stores; it begins empty."""
    with redis.Redis.from_url(projector_stack.redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
async def valkey(projector_stack: StackInfo, valkey_admin: "redis.Redis") -> AsyncIterator[Valkey]:
    valkey = Valkey.open(projector_stack.redis_url, timeout_seconds=2)
    yield valkey
    await valkey.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """How a test asks the stores for verdicts: the feed is not running."""

    valkey: Valkey
    postgres: Postgres
    partitions: int

    def within(self, stale: timedelta) -> Revocations:
        view = RevocationView(self.valkey, partitions=self.partitions)
        feed = RevocationFeed(self.valkey, partitions=self.partitions, stale=stale)
        return Revocations(feed, view, self.postgres, partitions=self.partitions, stale=stale)
