"""A service beside Chancery: whoever proves an address gets ten credits, once, whatever crashes.

It knows nothing of Chancery but the public feed. The balance, the total and the place in the feed are one
transaction, so each event counts exactly once although the feed may repeat it.
"""

import asyncio
import os
import signal

import asyncpg

from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.postgres import PostgresCheckpoints, Transaction
from chancery_sdk.subscriber import Subscriber

WELCOME = 10
TABLES = """
create table if not exists credits (account_id text primary key, balance integer not null);
create table if not exists totals (name text primary key, amount integer not null);
insert into totals values ('owed', 0) on conflict do nothing;
"""


async def welcome(event: Event, tx: Transaction) -> None:
    await tx.execute("insert into credits values ($1, $2)", event.data["account_id"], WELCOME)
    await tx.execute("update totals set amount = amount + $1 where name = 'owed'", WELCOME)


async def forget(event: Event, tx: Transaction) -> None:
    done = await tx.execute("delete from credits where account_id = $1", event.data["account_id"])
    if done == "DELETE 1":
        await tx.execute("update totals set amount = amount - $1 where name = 'owed'", WELCOME)


async def main() -> None:
    async with (
        asyncpg.create_pool(
            os.environ["LEDGER_POSTGRES_DSN"], min_size=1, max_size=20, command_timeout=10
        ) as pool,
        open_feed(os.environ["CHANCERY_KAFKA_BOOTSTRAP"]) as feed,
    ):
        await pool.execute(TABLES)
        checkpoints = PostgresCheckpoints(pool, "welcome-credit")
        await checkpoints.create_tables()
        subscriber = Subscriber(feed, checkpoints)
        subscriber.on("chancery.account.verified.v1")(welcome)
        subscriber.on("chancery.account.closed.v1")(forget)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, subscriber.stop)
        print("The ledger follows the feed. Ctrl-C ends it.", flush=True)
        await subscriber.run()


if __name__ == "__main__":
    asyncio.run(main())
