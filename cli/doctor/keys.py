"""The keys: whether those that wrap data keys open the newest ones, and which key signs access tokens."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cli.doctor.finding import Finding, green, red, yellow
from cli.opened import opened_postgres
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.key_encryption import key_encryption
from eventstore.key_index import KeyRecord
from eventstore.keyring import raw_key, wrapping_key_of
from eventstore.sealing import UnsealError
from readmodels.checkpoints import server_now
from readmodels.signing_keys import SigningKey, all_signing_keys
from runtime.settings import Settings

WRAPPING = "key-encryption key"
SIGNING = "signing keys"
NEWEST = 20
"""Records of each partition of the key topic that are opened."""
OLD = timedelta(days=90)
"""A signing key that is older should be rotated; nothing breaks if it is not."""


async def wrapping_key(settings: Settings) -> Sequence[Finding]:
    encryption = key_encryption(settings)
    records = await _newest_records(settings)
    try:
        for record in records:
            raw_key(encryption, record)
    except UnsealError as error:
        advice = "Give back the key that it was, or name it in CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE."
        return [red(WRAPPING, str(error), advice)]
    if not records:
        return [green(WRAPPING, "there is no data key yet")]
    others = sum(wrapping_key_of(record) != encryption.current for record in records)
    said = f"opens the {len(records)} newest data keys"
    if others:
        return [
            yellow(WRAPPING, f"{said}, {others} of them by an earlier key", "Run `chancery keys rewrap`.")
        ]
    return [green(WRAPPING, said)]


async def _newest_records(settings: Settings) -> list[KeyRecord]:
    """What stands last in each partition, without what was erased meanwhile."""
    store = KafkaKeyStore(settings.kafka, settings.keys_topic, settings.partitions)
    last: dict[str, KeyRecord] = {}
    try:
        await store.start()
        ends = await store.ends()
        async for batch in store.read({number: max(0, end - NEWEST) for number, end in ends.items()}):
            last |= {record.key: record for _, record in batch.records}
    finally:
        await store.stop()
    return [record for record in last.values() if record.value is not None]


async def signing_keys(_settings: Settings) -> Sequence[Finding]:
    async with opened_postgres() as postgres:
        return [judged(await all_signing_keys(postgres), await server_now(postgres))]


def judged(keys: Sequence[SigningKey], now: datetime) -> Finding:
    """The one that signs is the newest of those whose time has come and is not over."""
    active = [
        key for key in keys if key.activates_at <= now and (key.retires_at is None or now < key.retires_at)
    ]
    if not active:
        advice = "A command process makes the first one: see its line, and that of projection signing_keys."
        return red(SIGNING, "none signs", advice)
    key = max(active, key=lambda one: one.activates_at)
    age = now - key.activates_at
    said = f"{key.kid} ({key.alg}) has signed for {_days(age)}"
    coming = sorted(one.activates_at for one in keys if one.activates_at > now)
    said += f", the next one in {_days(coming[0] - now)}" if coming else ", none is announced"
    if age > OLD and not coming:
        return yellow(SIGNING, said, "Run `chancery keys rotate`.")
    return green(SIGNING, said)


def _days(time: timedelta) -> str:
    return f"{time.days} days" if time >= timedelta(days=2) else f"{time.total_seconds() / 3600:.1f} hours"
