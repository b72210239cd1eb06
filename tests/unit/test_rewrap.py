"""Data keys under a new key-encryption key: all of them, none that was erased, and the old one can go."""

from collections.abc import AsyncIterator, Mapping

import pytest

from eventstore.errors import UnavailableError
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyBatch, KeyRecord, MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.rewrap import Rewrapped, rewrap
from eventstore.sealing import UnsealError, place_of, seal, unseal
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic, MemoryKeyStore

NEW = bytes(reversed(range(32)))
ROTATED = LocalKeyEncryption(NEW, [KEY_ENCRYPTION_KEY])
SUBJECTS = [f"account-{number}" for number in range(8)]
PLACE = place_of("account-0", 1, "account.registered")
PERSONAL = {"email": "Ada@example.com"}


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


async def filled() -> KeyTopic:
    topic = KeyTopic()
    ring = topic.keyring()
    for subject in SUBJECTS:
        await ring.key_for(subject)
    return topic


def ring_of(topic: KeyTopic, encryption: LocalKeyEncryption) -> Keyring:
    return Keyring(MemoryKeyStore(topic), encryption, MemoryKeyIndex())


async def test_the_new_key_alone_opens_what_was_sealed_before() -> None:
    topic = await filled()
    ring = ring_of(topic, ROTATED)
    await ring.catch_up()
    old = await ring.key_for("account-0")
    sealed = seal(old, PERSONAL, PLACE)
    done = await rewrap(MemoryKeyStore(topic), ROTATED, quiet)
    assert done == Rewrapped(keys=8, rewrapped=8, erased_again=0, left=0)
    alone = ring_of(topic, LocalKeyEncryption(NEW))
    found = await alone.find(old.key_id)
    assert found is not None
    assert unseal(found, sealed, PLACE) == PERSONAL


async def test_twice_is_the_same_as_once() -> None:
    topic = await filled()
    await rewrap(MemoryKeyStore(topic), ROTATED, quiet)
    before = list(topic.records)
    done = await rewrap(MemoryKeyStore(topic), ROTATED, quiet)
    assert (done, topic.records) == (Rewrapped(keys=8, rewrapped=0, erased_again=0, left=0), before)


async def test_an_erased_key_is_left_erased() -> None:
    topic = await filled()
    topic.erase("account-3")
    done = await rewrap(MemoryKeyStore(topic), ROTATED, quiet)
    assert done == Rewrapped(keys=7, rewrapped=7, erased_again=0, left=0)
    assert topic.records[-7:] == [record for record in topic.records[-7:] if record.value is not None]
    assert not any(record.subject == "account-3" for record in topic.records[-7:])


class Erasing(MemoryKeyStore):
    """Erases a key right before its new record arrives, as a process may at any time."""

    async def put(self, record: KeyRecord) -> None:
        if record.subject == "account-3" and record.value is not None:
            self._topic.records.append(KeyRecord(key=record.key, value=None))
        await super().put(record)


async def test_a_key_that_is_erased_meanwhile_is_erased_again() -> None:
    topic = await filled()
    done = await rewrap(Erasing(topic), ROTATED, quiet)
    assert done == Rewrapped(keys=7, rewrapped=8, erased_again=1, left=0)
    assert [r.value for r in topic.records if r.subject == "account-3"][-1] is None


class Dying(Erasing):
    """The tool is killed right after it has brought an erased key back."""

    async def put(self, record: KeyRecord) -> None:
        if record.value is None:
            raise UnavailableError("killed")
        await super().put(record)


async def test_a_run_that_was_cut_off_is_mended_by_the_next() -> None:
    topic = await filled()
    with pytest.raises(UnavailableError):
        await rewrap(Dying(topic), ROTATED, quiet)
    ring = ring_of(topic, ROTATED)
    revived = next(record for record in topic.records if record.subject == "account-3")
    assert await ring.find(revived.key_id) is None
    done = await rewrap(MemoryKeyStore(topic), ROTATED, quiet)
    assert (done.erased_again, done.rewrapped, done.left) == (1, 0, 0)
    assert topic.records[-1] == KeyRecord(key=revived.key, value=None)


class Busy(MemoryKeyStore):
    """Some process still makes keys under the old key-encryption key, while the topic is read the second time."""

    reads = 0

    async def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
        Busy.reads += 1
        if Busy.reads == 2:
            await self._topic.keyring().key_for("account-late")
        async for batch in super().read(positions):
            yield batch


async def test_keys_that_others_make_under_the_old_key_are_reported() -> None:
    topic = await filled()
    done = await rewrap(Busy(topic), ROTATED, quiet)
    assert (done.keys, done.rewrapped, done.left) == (9, 8, 1)


async def test_a_key_under_a_key_that_is_not_at_hand_stops_it() -> None:
    topic = await filled()
    with pytest.raises(UnsealError, match="CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE"):
        await rewrap(MemoryKeyStore(topic), LocalKeyEncryption(NEW), quiet)
    assert len(topic.records) == len(SUBJECTS)
