"""`chancery provision`: makes topics and tables where they are missing, and checks those that exist."""

import asyncio

from cli.failures import explained


def provision() -> None:
    """Create the topics, the log's first records and the tables; changes nothing that exists."""
    with explained():
        log_id = asyncio.run(_provision())
        print(f"Topics and tables are ready. Log {log_id}.")


async def _provision() -> str:
    from eventstore.kafka_log import KafkaLog
    from eventstore.provision import Topics, create_topics, verify_topics, write_genesis
    from readmodels.tables import create_tables
    from runtime.clock import utc_now
    from runtime.kafka_admin import open_admin
    from runtime.postgres import Postgres
    from runtime.settings import load_settings

    settings = load_settings()
    topics = Topics.of(settings)
    async with open_admin(settings.kafka) as admin:
        await create_topics(admin, topics)
        await verify_topics(admin, topics, topics.events, topics.keys, topics.public)
    log = KafkaLog(settings.kafka, settings.events_topic, settings.partitions, timeout_seconds=10)
    await log.start()
    try:
        log_id = await write_genesis(log, utc_now)
    finally:
        await log.stop()
    postgres = await Postgres.open(settings.postgres_dsn.get_secret_value())
    try:
        await create_tables(postgres)
    finally:
        await postgres.close()
    return log_id
