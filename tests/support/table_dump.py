"""Every read model, row by row, in an order that does not depend on how it was built."""

from readmodels.tables import create_tables
from runtime.postgres import Postgres

READ_MODELS = ("accounts_v1", "sessions_v1", "clients_v1", "signing_keys_v1", "revoked_tokens_v1")


async def dump(postgres: Postgres) -> dict[str, list[str]]:
    rows = {}
    for name in READ_MODELS:
        found = await postgres.fetch(f"select t::text as row from chancery.{name} t order by t::text")
        rows[name] = [row["row"] for row in found]
    return rows


async def empty(postgres: Postgres) -> None:
    """Tables as they are before the first fact."""
    await create_tables(postgres)
    names = ", ".join(f"chancery.{name}" for name in ("checkpoints", *READ_MODELS))
    await postgres.execute(f"truncate {names}")
