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

_MODULES = (checkpoints, accounts_v1, sessions_v1, clients_v1, signing_keys_v1, revoked_tokens_v1, sent_mails)
_SQL = load_statements(__file__)


async def create_tables(postgres: Postgres) -> None:
    """Create what is missing; a table that exists is left as it is."""
    async with postgres.transaction() as tx:
        await tx.execute(_SQL["lock"])
        await tx.execute(_SQL["schema"])
        for module in _MODULES:
            await tx.execute(module.SQL["create"])
