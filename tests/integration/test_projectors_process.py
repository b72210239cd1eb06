"""The processes as they are run: Kafka, PostgreSQL, Valkey and SMTP, all real."""

import asyncio
import statistics
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.key_encryption import key_encryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.provision import Topics, create_topics, write_genesis
from localstack.inbox import inbox_file, read_mails
from localstack.stack import StackInfo
from projectors import app, mailer_app
from readmodels.accounts import account_rows
from readmodels.positions import PositionWatch
from readmodels.revoked_tokens import TokenIds
from runtime.clock import utc_now
from runtime.codes import MailedCodes
from runtime.health import Health
from runtime.kafka_admin import open_admin
from runtime.keys import derive_keys
from runtime.postgres import Postgres
from runtime.redis import Valkey
from runtime.serving.worker import Rest
from runtime.settings import Settings, secret_bytes
from tests.support.people import account_id_in, registered, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.stores import Verdicts
from tests.support.tasks import eventually, running

PARTITIONS = 4


@pytest.fixture
def settings(projector_stack: StackInfo, database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The stack's settings, with topics and a database of this test's own."""
    name = uuid.uuid4().hex[:8]
    own = {
        "CHANCERY_EVENTS_TOPIC": f"events-{name}",
        "CHANCERY_KEYS_TOPIC": f"keys-{name}",
        "CHANCERY_PUBLIC_TOPIC": f"public-{name}",
        "CHANCERY_PARTITIONS": str(PARTITIONS),
        "CHANCERY_POSTGRES_DSN": database_dsn,
    }
    for variable, value in {**projector_stack.settings, **own}.items():
        monkeypatch.setenv(variable, value)
    return Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLog:
    scribe: Scribe
    settings: Settings


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[LiveLog]:
    topics = Topics(
        events=settings.events_topic,
        keys=settings.keys_topic,
        public=settings.public_topic,
        partitions=PARTITIONS,
        replication_factor=1,
    )
    async with open_admin(settings.kafka) as admin:
        await create_topics(admin, topics)
    log = KafkaLog(settings.kafka, settings.events_topic, PARTITIONS)
    store = KafkaKeyStore(settings.kafka, settings.keys_topic, PARTITIONS)
    await log.start()
    await store.start()
    await write_genesis(log, utc_now)
    keyring = Keyring(store, key_encryption(settings), MemoryKeyIndex())
    yield LiveLog(scribe=Scribe(log, keyring), settings=settings)
    await log.stop()
    await store.stop()


async def is_ready(health: Health, part: str) -> bool:
    """Whether this part was heard of, and nothing fails."""
    return part in health._reasons and not health.failing()  # noqa: SLF001  # it keeps no public list


async def test_what_is_acknowledged_is_soon_seen_and_a_revocation_soon_refused(
    live: LiveLog, postgres: Postgres, valkey: Valkey
) -> None:
    health = Health()
    watch = PositionWatch(postgres)
    asked = Verdicts(valkey=valkey, postgres=postgres, partitions=PARTITIONS).within(timedelta(seconds=5))
    seen, refused = [], []
    loop = asyncio.get_running_loop()
    async with running(app.run(live.settings, health, CollectorRegistry(), Rest()), watch.run()):
        await eventually(lambda: is_ready(health, "valkey_v1-3"), within_seconds=30)
        for number in range(20):
            account_id = account_id_in(number % PARTITIONS)
            session = session_of(account_id, at=datetime.now(UTC))
            position = await live.scribe.write(stream_of(account_id), registered(account_id), session)
            began = loop.time()
            assert await watch.wait_for("accounts", {position.partition: position.seq}, wait_seconds=5)
            seen.append(loop.time() - began)
            async with postgres.connection() as connection:
                assert list(await account_rows(connection, "accounts", [account_id])) == [account_id]
            assert await asked.verdict(TokenIds(session_id=session.session_id, jti="j")) == "live"
            await live.scribe.write(stream_of(account_id), revoked(session))
            began = loop.time()

            async def is_refused(session_id: str = session.session_id) -> bool:
                return await asked.verdict(TokenIds(session_id=session_id, jti="j")) == "revoked"

            await eventually(is_refused)
            refused.append(loop.time() - began)
    print(f"seen p50 {statistics.median(seen):.3f} max {max(seen):.3f}")  # noqa: T201  # for whoever runs it with -s
    print(f"refused p50 {statistics.median(refused):.3f} max {max(refused):.3f}")  # noqa: T201  # as above
    assert statistics.median(seen) < 0.1
    assert statistics.median(refused) < 0.1


async def test_a_sign_up_in_kafka_becomes_a_mail_with_its_code(
    live: LiveLog, projector_stack: StackInfo
) -> None:
    health = Health()
    account_id = account_id_in(2)
    address = f"{account_id}@example.com"
    fact = replace(registered(account_id, datetime.now(UTC)), email=address)
    await live.scribe.write(stream_of(account_id), fact)
    inbox = inbox_file(projector_stack.home)

    async def has_come() -> bool:
        return any(read_mails(inbox, address))

    async with running(mailer_app.run(live.settings, health, CollectorRegistry(), Rest())):
        await eventually(has_come, within_seconds=30)
        await eventually(lambda: is_ready(health, "mailer-3"))
    (mail,) = read_mails(inbox, address)
    codes = MailedCodes(derive_keys(secret_bytes(live.settings.secret_key)))
    assert mail.code == codes.verification(fact.challenge_id)
