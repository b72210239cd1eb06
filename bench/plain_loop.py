"""What anybody would write with aiokafka and asyncpg: the same rows, and none of what makes them certain.

No chain, no checkpoint, no order of facts within a batch, no parking, no types: a baseline. It opens what is sealed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from eventstore.keyring import Keyring
from eventstore.sealing import key_id_of, place_of, unseal
from projectors.audit_facts import SHOWN
from runtime.statements import load_statements

_SQL = load_statements(__file__)
_AUDIT = (
    *("at", "partition", "seq", "number", "type", "account_id", "actor_kind", "actor_id", "details"),
    *("ip", "user_agent"),
)
_SHOWN = {cls.type: names for cls, names in SHOWN.items()}

Found = dict[str, list[tuple[Any, ...]]]


async def project(bootstrap: str, topic: str, keyring: Keyring, dsn: str, ends: Mapping[int, int]) -> None:
    """Return once everything up to these ends is in the tables."""
    pool = await asyncpg.create_pool(dsn, min_size=len(ends), max_size=len(ends))
    async with pool, asyncio.TaskGroup() as tasks:
        for partition, end in ends.items():
            tasks.create_task(_follow(bootstrap, TopicPartition(topic, partition), end, pool, keyring))


async def _follow(
    bootstrap: str, place: TopicPartition, end: int, pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring
) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        reached = 0
        while reached < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                await _write(pool, place.partition, records, keyring)
                reached = records[-1].offset + 1
    finally:
        await consumer.stop()


async def _write(
    pool: "asyncpg.Pool[asyncpg.Record]", partition: int, records: Sequence[Any], keyring: Keyring
) -> None:
    commits = [msgspec.json.decode(record.value) for record in records]
    events = [event for commit in commits for event in commit.get("events", ())]
    keys = await keyring.find_all({key_id_of(event["sealed"]) for event in events if event.get("sealed")})
    found: Found = defaultdict(list)
    for commit in commits:
        for number, event in enumerate(commit.get("events", ())):
            key = keys[key_id_of(event["sealed"])] if event.get("sealed") else None
            if key is not None:
                place = place_of(event["stream"], event["version"], event["type"])
                event["data"] |= unseal(key, event["sealed"], place)
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
            names = (data["email"], data["display_name"])
            found["registered"].append((account_id, *names, _time(data["registered_at"])))
        case "account.email_verified":
            found["verified"].append((account_id,))
        case "session.started":
            times = tuple(_time(data[name]) for name in ("started_at", "idle_expires_at", "expires_at"))
            texts = (data["session_id"], account_id, data["client_id"], data["scope"], data["acr"])
            found["started"].append((*texts, *times, data["ip"], data["user_agent"]))
            found["signed_in"].append((account_id, times[0]))
        case "session.refreshed":
            times = (_time(data["refreshed_at"]), _time(data["idle_expires_at"]))
            found["refreshed"].append((data["session_id"], data["generation"], *times))
        case "session.revoked":
            found["revoked"].append((data["session_id"], at, data["cause"]))
    shown = _SHOWN.get(kind)
    if shown is not None:
        details = msgspec.json.encode({name: data[name] for name in shown}).decode()
        who = (account_id, commit["actor"]["kind"], commit["actor"]["id"])
        origin = (data.get("ip"), data.get("user_agent"))
        found["audit"].append((at, partition, commit["seq"], number, kind, *who, details, *origin))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
