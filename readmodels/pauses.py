"""Consumers that were told to stand still: the word is in the database, so it holds for every process and after restarts."""

from datetime import datetime
from typing import Literal, get_args

from runtime.postgres import Postgres
from runtime.statements import load_statements

SQL = load_statements(__file__)

Consumer = Literal["tables", "mailer", "relay"]
CONSUMERS: tuple[Consumer, ...] = get_args(Consumer)
"""Those that take turns. Valkey does not: whether a token was revoked is never put off."""


async def pause(postgres: Postgres, consumer: Consumer) -> None:
    await postgres.execute(SQL["pause"], consumer)


async def resume(postgres: Postgres, consumer: Consumer) -> None:
    await postgres.execute(SQL["resume"], consumer)


async def pauses(postgres: Postgres) -> dict[str, datetime]:
    """Who is paused, and since when."""
    return {row["consumer"]: row["paused_at"] for row in await postgres.fetch(SQL["all"])}


async def partitions_in_work(postgres: Postgres, lock: str) -> int:
    """How many partitions are worked on under a lock of that name."""
    row = await postgres.fetch_one(SQL["working"], lock)
    return 0 if row is None else int(row["partitions"])
