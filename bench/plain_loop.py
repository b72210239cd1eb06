"""What anybody would write with aiokafka and asyncpg: the same rows, and none of what makes them certain.

No chain, no checkpoint, no order across tables, nothing sealed is opened, nothing is compared: a baseline.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.statements import load_statements

_SQL = load_statements(__file__)
_AUDIT = (
    *("at", "partition", "seq", "number", "type", "account_id", "actor_kind", "actor_id", "details"),
    *("ip", "user_agent"),
)
_NOT_SHOWN = {"session.refreshed"}

Found = dict[str, list[tuple[Any, ...]]]


async def project(bootstrap: str, topic: str, dsn: str, ends: Mapping[int, int]) -> None:
    """Return once everything up to these ends is in the tables."""
    pool = await asyncpg.create_pool(dsn, min_size=len(ends), max_size=len(ends))
    async with pool, asyncio.TaskGroup() as tasks:
        for partition, end in ends.items():
            tasks.create_task(_follow(bootstrap, TopicPartition(topic, partition), end, pool))


async def _follow(
    bootstrap: str, place: TopicPartition, end: int, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        reached = 0
        while reached < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                await _write(pool, place.partition, records)
                reached = records[-1].offset + 1
    finally:
        await consumer.stop()


async def _write(pool: "asyncpg.Pool[asyncpg.Record]", partition: int, records: Sequence[Any]) -> None:
    found: Found = defaultdict(list)
    for record in records:
        commit = msgspec.json.decode(record.value)
        for number, event in enumerate(commit.get("events", ())):
            _take(found, partition, number, commit, event)
    async with pool.acquire() as connection, connection.transaction():
        for name in ("registered", "verified", "started", "signed_in", "refreshed", "revoked"):
            rows = list({row[0]: row for row in found[name]}.values())
            if name == "verified" and rows:
                await connection.execute(_SQL[name], [row[0] for row in rows])
            elif rows:
                await connection.execute(_SQL[name], *map(list, zip(*rows, strict=True)))
        await connection.copy_records_to_table(
            "audit_v1", schema_name="chancery", columns=_AUDIT, records=found["audit"]
        )


def _take(found: Found, partition: int, number: int, commit: dict[str, Any], event: dict[str, Any]) -> None:
    data, account_id, kind = event["data"], event["stream"].partition("-")[2], event["type"]
    at = datetime.fromisoformat(commit["at"])
    match kind:
        case "account.registered":
            found["registered"].append((account_id, _time(data["registered_at"])))
        case "account.email_verified":
            found["verified"].append((account_id,))
        case "session.started":
            names = ("started_at", "idle_expires_at", "expires_at")
            times = tuple(_time(data[name]) for name in names)
            texts = (data["session_id"], account_id, data["client_id"], data["scope"], data["acr"])
            found["started"].append((*texts, *times))
            found["signed_in"].append((account_id, times[0]))
        case "session.refreshed":
            times = (_time(data["refreshed_at"]), _time(data["idle_expires_at"]))
            found["refreshed"].append((data["session_id"], data["generation"], *times))
        case "session.revoked":
            found["revoked"].append((data["session_id"], at, data["cause"]))
    if kind not in _NOT_SHOWN:
        details, actor = msgspec.json.encode(data).decode(), commit["actor"]
        who = (account_id, actor["kind"], actor["id"])
        found["audit"].append((at, partition, commit["seq"], number, kind, *who, details, None, None))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
