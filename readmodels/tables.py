"""Makes every table. Safe to run again, and by several processes at once."""

from readmodels import (
    accounts_v1,
    checkpoints,
    clients_v1,
    revoked_tokens_v1,
    sent_mails,
    sessions_v1,
    signing_keys_v1,
)
from readmodels.statements import load_statements
from runtime.postgres import Postgres

_TABLES = {
    "chancery.checkpoints": checkpoints.SQL["create"],
    "chancery.accounts_v1": accounts_v1.SQL["create"],
    "chancery.sessions_v1": sessions_v1.SQL["create"],
    "chancery.clients_v1": clients_v1.SQL["create"],
    "chancery.signing_keys_v1": signing_keys_v1.SQL["create"],
    "chancery.revoked_tokens_v1": revoked_tokens_v1.SQL["create"],
    "chancery_mailer.sent_mails": sent_mails.SQL["create"],
    "chancery_mailer.checkpoints": sent_mails.SQL["create_checkpoints"],
}
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
            for create in _TABLES.values():
                await tx.execute(create)
            await tx.execute(sent_mails.SQL["create_deferred"])
        await connection.execute(_SQL["unlock"])
