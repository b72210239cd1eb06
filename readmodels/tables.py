"""Makes every table, and the views that readers ask. Safe to run again, and by several processes at once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from readmodels import (
    accounts,
    audit,
    bounces,
    checkpoints,
    clients,
    consumer_reports,
    factors,
    identifiers,
    mailbox_uses,
    parked_facts,
    pauses,
    revoked_tokens,
    sent_mails,
    sessions,
    signing_keys,
    versions,
)
from readmodels.versions import Role, Version, be_brief, drop, exchange, register, show, versions_in
from runtime.postgres import Connection, Postgres
from runtime.statements import load_statements, of_table

_BUILT: Mapping[str, Mapping[str, str]] = {
    "accounts": accounts.SQL,
    "identifiers": identifiers.SQL,
    "sessions": sessions.SQL,
    "factors": factors.SQL,
    "clients": clients.SQL,
    "signing_keys": signing_keys.SQL,
    "revoked_tokens": revoked_tokens.SQL,
    "audit": audit.SQL,
}
READ_MODELS = tuple(_BUILT)
"""What projectors build from the log: each a view of its version that serves."""
_TABLES = {
    "chancery.checkpoints": checkpoints.SQL["create"],
    "chancery.read_models": versions.SQL["create"],
    "chancery.consumer_reports": consumer_reports.SQL["create"],
    "chancery.parked_facts": parked_facts.SQL["create"],
    "chancery.pauses": pauses.SQL["create"],
    "chancery_mailer.sent_mails": sent_mails.SQL["create"],
    "chancery_mailer.checkpoints": sent_mails.SQL["create_checkpoints"],
    "chancery_mailer.mailbox_uses": mailbox_uses.SQL["create"],
    "chancery_mailer.bounces": bounces.SQL["create"],
}
_AFTER_TABLES = (
    sent_mails.SQL["create_deferred"],
    sent_mails.SQL["know_all_outcomes"],
    mailbox_uses.SQL["create_by_mailbox"],
    mailbox_uses.SQL["create_by_time"],
    bounces.SQL["create_due"],
)
_SQL = load_statements(__file__)


_BEHAVIOUR: Mapping[str, str] = json.loads(Path(__file__).with_name("behaviour.json").read_text())
"""A digest of the rows that projectors make of examples of all facts. A test compares it with what they do."""


def definition_of(read_model: str) -> str:
    """A digest of what this release makes the read model from: hexadecimal SHA-256."""
    parts = _BUILT[read_model]["create"] + _BEHAVIOUR[read_model]
    return hashlib.sha256(parts.encode()).hexdigest()


def definitions() -> str:
    """A short digest of all of them: what two releases have in common or not."""
    return hashlib.sha256("".join(map(definition_of, READ_MODELS)).encode()).hexdigest()[:12]


async def create_tables(postgres: Postgres) -> None:
    """Create what is missing; what exists is left as it is. A new database serves the first version of each."""
    if not await lacks_tables(postgres):
        return
    async with postgres.dedicated() as connection:
        await connection.execute(_SQL["lock"])
        async with connection.transaction() as tx:
            await tx.execute(_SQL["schema"])
            await tx.execute(_SQL["mailer_schema"])
            for create in (*_TABLES.values(), *_AFTER_TABLES):
                await tx.execute(create)
            await _create_read_models(tx)


async def lacks_tables(postgres: Postgres) -> bool:
    """Whether anything is missing that `create_tables` makes."""
    row = await postgres.fetch_one(_SQL["missing"], list(_TABLES))
    if row is None or row["missing"] > 0:
        return True
    row = await postgres.fetch_one(_SQL["missing_read_models"], list(READ_MODELS))
    return row is None or row["missing"] > 0


async def create_version(tx: Connection, version: Version) -> None:
    """The version's table, empty, and a note of it."""
    await tx.execute(of_table(_BUILT[version.read_model], version.projector)["create"])
    await register(tx, version)


async def serve_empty(postgres: Postgres, version: Version) -> None:
    """Let a version serve that nothing was applied to. Readers are told that it is not complete."""
    async with postgres.dedicated() as connection:
        await connection.execute(_SQL["lock"])
        async with connection.transaction() as tx:
            await be_brief(tx)
            known = await versions_in(tx)
            serving = [one for one in known if (one.read_model, one.role) == (version.read_model, "serving")]
            if version.projector not in {one.projector for one in serving}:
                await drop(tx, version)
                await create_version(tx, version)
                await exchange(tx, serving[0] if serving else None, version)


async def _create_read_models(tx: Connection) -> None:
    """A read model that is new in a database with others waits to be built: it must not hold them up."""
    known = await versions_in(tx)
    for read_model in READ_MODELS:
        if read_model not in {one.read_model for one in known}:
            role: Role = "building" if known else "serving"
            first = Version(read_model=read_model, version=1, role=role, definition=definition_of(read_model))
            await create_version(tx, first)
    for one in await versions_in(tx):
        if one.read_model in READ_MODELS and await _is_missing(tx, one.projector):
            await drop(tx, one)
            await create_version(tx, replace(one, definition=definition_of(one.read_model)))
        if one.role == "serving" and await _is_missing(tx, one.read_model):
            await show(tx, one)


async def _is_missing(tx: Connection, name: str) -> bool:
    row = await tx.fetch_one(_SQL["missing"], [f"chancery.{name}"])
    return row is not None and row["missing"] > 0
