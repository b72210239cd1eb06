"""What every store of wrapped keys must do. Subclasses provide the fixture `new_store`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyRecord, MemoryKeyIndex
from eventstore.keyring import Keyring, KeyStore
from eventstore.sealing import UnsealError, new_data_key, place_of, seal, unseal

NewStore = Callable[[], Awaitable[KeyStore]]

KEY_ENCRYPTION_KEY = bytes(range(32))
PLACE = place_of("account-aa", 1, "account.registered")
PERSONAL = {"email": "Ada@example.com"}
ONE = KeyRecord(key="account-aa/one", value=b"1")
TWO = KeyRecord(key="account-ab/two", value=b"2")


class KeyStoreSuite:
    """Every call of `new_store` opens the same topic, which is empty at the start of each test."""

    async def test_what_one_store_put_another_reads(self, new_store: NewStore) -> None:
        one, other = await new_store(), await new_store()
        await one.put(ONE)
        assert await read(other) == [ONE]

    async def test_a_store_reads_what_it_put_itself(self, new_store: NewStore) -> None:
        store = await new_store()
        await store.put(ONE)
        assert await read(store) == [ONE]

    async def test_an_empty_topic_has_nothing_new(self, new_store: NewStore) -> None:
        assert await read(await new_store()) == []

    async def test_reading_goes_on_where_it_is_told_to(self, new_store: NewStore) -> None:
        writer, reader = await new_store(), await new_store()
        await writer.put(ONE)
        batches = [batch async for batch in reader.read({})]
        assert [record for batch in batches for _, record in batch.records] == [ONE]
        ends = {batch.partition: batch.end for batch in batches}
        assert await read(reader, ends) == []
        await writer.put(TWO)
        assert await read(reader, ends) == [TWO]
        assert sorted(await read(await new_store()), key=repr) == [ONE, TWO]

    async def test_every_key_of_a_long_topic_is_read(self, new_store: NewStore) -> None:
        writer, reader = await new_store(), await new_store()
        records = [KeyRecord(key=f"account-aa/{number:04}", value=b"v") for number in range(600)]
        await asyncio.gather(*(writer.put(record) for record in records))
        assert sorted(record.key for record in await read(reader)) == [record.key for record in records]

    async def test_a_tombstone_comes_after_the_key_it_erases(self, new_store: NewStore) -> None:
        writer, reader = await new_store(), await new_store()
        erased = KeyRecord(key=ONE.key, value=None)
        await writer.put(ONE)
        await writer.put(erased)
        assert await read(reader) in ([ONE, erased], [erased])

    async def test_a_tombstone_makes_every_keyring_forget(self, new_store: NewStore) -> None:
        old, late = await keyring(new_store), await keyring(new_store)
        key = await old.key_for("account-aa")
        await (await new_store()).put(KeyRecord(key=f"account-aa/{key.key_id}", value=None))
        await old.catch_up()
        assert await old.find(key.key_id) is None
        assert await late.find(key.key_id) is None
        assert (await old.key_for("account-aa")).key_id != key.key_id

    async def test_an_unknown_key_is_looked_for_to_the_topics_end(self, new_store: NewStore) -> None:
        writer, reader = await keyring(new_store), await keyring(new_store)
        await reader.catch_up()
        keys = [await writer.key_for(f"account-{number}") for number in range(20)]
        last = await reader.find(keys[-1].key_id)
        assert last is not None
        assert unseal(last, seal(keys[-1], PERSONAL, PLACE), PLACE) == PERSONAL
        assert await reader.find(new_data_key("account-aa")[0].key_id) is None

    async def test_two_keys_that_were_made_at_once_both_open_what_they_sealed(
        self, new_store: NewStore
    ) -> None:
        rings = [await keyring(new_store) for _ in range(2)]
        made = await asyncio.gather(*(ring.key_for("account-aa") for ring in rings))
        assert made[0].key_id != made[1].key_id
        for ring in (*rings, await keyring(new_store)):
            for key in made:
                found = await ring.find(key.key_id)
                assert found is not None
                assert unseal(found, seal(key, PERSONAL, PLACE), PLACE) == PERSONAL

    async def test_another_key_encryption_key_opens_nothing_and_says_so(self, new_store: NewStore) -> None:
        key = await (await keyring(new_store)).key_for("account-aa")
        wrong = Keyring(await new_store(), LocalKeyEncryption(bytes(32)), MemoryKeyIndex())
        with pytest.raises(
            UnsealError, match="CHANCERY_KEY_ENCRYPTION_KEY is not the one it was wrapped with"
        ):
            await wrong.find(key.key_id)


async def read(store: KeyStore, positions: Mapping[int, int] | None = None) -> list[KeyRecord]:
    return [record async for batch in store.read(positions or {}) for _, record in batch.records]


async def keyring(new_store: NewStore) -> Keyring:
    return Keyring(await new_store(), LocalKeyEncryption(KEY_ENCRYPTION_KEY), MemoryKeyIndex())
