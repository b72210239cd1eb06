"""Every read model, row by row, in its canonical form."""

from readmodels.dump import canonical_rows
from readmodels.tables import READ_MODELS, create_tables
from runtime.postgres import Postgres

_DROP_MONTHS = """
do $$
declare month text;
begin
    for month in select inhrelid::regclass::text from pg_inherits where inhparent = 'chancery.audit_v1'::regclass
    loop
        execute 'drop table ' || month;
    end loop;
end $$
"""


async def dump(postgres: Postgres) -> dict[str, list[str]]:
    async with postgres.transaction() as tx:
        return {name: [row async for row in canonical_rows(tx, name)] for name in READ_MODELS}


async def empty(postgres: Postgres) -> None:
    """Tables as they are before the first fact: without the audit's months too."""
    await create_tables(postgres)
    names = ", ".join(
        f"chancery.{name}" for name in ("checkpoints", *(f"{model}_v1" for model in READ_MODELS))
    )
    await postgres.execute(f"truncate {names}")
    await postgres.execute(_DROP_MONTHS)
