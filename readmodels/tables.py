"""Makes every table. Safe to run again, and by several processes at once."""

from readmodels import (
    accounts_v3,
    audit_v1,
    bounces,
    checkpoints,
    clients_v2,
    consumer_reports,
    mailbox_uses,
    parked_facts,
    revoked_tokens_v1,
    sent_mails,
    sessions_v1,
    signing_keys_v2,
)
from runtime.postgres import Postgres
from runtime.statements import load_statements

_BUILT = {
    "accounts_v3": accounts_v3.SQL["create"],
    "sessions_v1": sessions_v1.SQL["create"],
    "clients_v2": clients_v2.SQL["create"],
    "signing_keys_v2": signing_keys_v2.SQL["create"],
    "revoked_tokens_v1": revoked_tokens_v1.SQL["create"],
    "audit_v1": audit_v1.SQL["create"],
}
READ_MODELS = tuple(_BUILT)
"""The tables that projectors build from the log."""
_TABLES = {
    "chancery.checkpoints": checkpoints.SQL["create"],
    "chancery.consumer_reports": consumer_reports.SQL["create"],
    "chancery.parked_facts": parked_facts.SQL["create"],
    **{f"chancery.{name}": create for name, create in _BUILT.items()},
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


async def create_tables(postgres: Postgres) -> None:
    """Create what is missing; a table that exists is left as it is."""
    row = await postgres.fetch_one(_SQL["missing"], list(_TABLES))
    if row is not None and row["missing"] == 0:
        return
    async with postgres.connection() as connection:
        await connection.execute(_SQL["lock"])
        async with connection.transaction() as tx:
            await tx.execute(_SQL["schema"])
            await tx.execute(_SQL["mailer_schema"])
            for create in (*_TABLES.values(), *_AFTER_TABLES):
                await tx.execute(create)
        await connection.execute(_SQL["unlock"])
