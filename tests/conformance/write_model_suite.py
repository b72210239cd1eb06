"""What every write model must do. Subclasses provide the fixtures `snapshots` and `index`, empty at first."""

import uuid
from datetime import timedelta

from eventstore.key_index import KeyBatch, KeyIndex, KeyRecord
from eventstore.snapshots import Checkpoint, Snapshot, Snapshots
from tests.support.examples import NOON

HOUR = timedelta(hours=1)
IDS = [uuid.UUID(int=number) for number in range(4)]


def checkpoint(seq: int) -> Checkpoint:
    at = NOON + seq * HOUR
    return Checkpoint(seq=seq, hash=f"hash {seq}", offset=2 * seq, next_offset=2 * seq + 1, last_at=at)


def snapshot(stream: str, version: int = 1, *, expires_in: int | None = None) -> Snapshot:
    return Snapshot(
        stream=stream,
        version=version,
        at=NOON,
        state=b"%d" % version,
        sealed=None if version % 2 else "sealed",
        expires_at=None if expires_in is None else NOON + expires_in * HOUR,
    )


class SnapshotsSuite:
    async def test_a_write_model_begins_empty(self, snapshots: Snapshots) -> None:
        guarded = await snapshots.load(0, ["a-aa"])
        assert (guarded.checkpoint, guarded.snapshots) == (None, {})

    async def test_what_was_saved_is_loaded_with_its_checkpoint(self, snapshots: Snapshots) -> None:
        assert await snapshots.save(0, None, checkpoint(1), [snapshot("a-aa"), snapshot("a-ab", 2)])
        guarded = await snapshots.load(0, ["a-aa", "a-ab", "a-ac"])
        assert guarded.checkpoint == checkpoint(1)
        assert guarded.snapshots == {"a-aa": snapshot("a-aa"), "a-ab": snapshot("a-ab", 2)}
        assert (await snapshots.load(0, ())).checkpoint == checkpoint(1)

    async def test_whoever_does_not_know_the_checkpoint_saves_nothing(self, snapshots: Snapshots) -> None:
        assert await snapshots.save(0, None, checkpoint(1), [snapshot("a-aa")])
        for before in (None, checkpoint(0), checkpoint(2)):
            assert not await snapshots.save(0, before, checkpoint(3), [snapshot("a-aa", 9)])
        assert await snapshots.save(0, checkpoint(1), checkpoint(3), [snapshot("a-aa", 2)])
        guarded = await snapshots.load(0, ["a-aa"])
        assert (guarded.checkpoint, guarded.snapshots["a-aa"].version) == (checkpoint(3), 2)

    async def test_partitions_are_apart(self, snapshots: Snapshots) -> None:
        assert await snapshots.save(0, None, checkpoint(1), [snapshot("a-aa")])
        assert (await snapshots.load(1, ["a-aa"])).checkpoint is None
        assert await snapshots.save(1, None, checkpoint(5), [])
        assert (await snapshots.load(0, ())).checkpoint == checkpoint(1)

    async def test_what_has_passed_is_forgotten_by_the_partitions_own_time(
        self, snapshots: Snapshots
    ) -> None:
        rows = [snapshot("a-aa", expires_in=2), snapshot("a-ab", expires_in=4), snapshot("a-ac")]
        assert await snapshots.save(0, None, checkpoint(1), rows)
        assert await snapshots.save(0, checkpoint(1), checkpoint(3), [])
        assert set((await snapshots.load(0, ["a-aa", "a-ab", "a-ac"])).snapshots) == {"a-ab", "a-ac"}


def key(number: int, subject: str = "account-aa") -> KeyRecord:
    return KeyRecord(key=f"{subject}/{IDS[number]}", value=b"wrapped %d" % number)


def batch(start: int, *records: KeyRecord, partition: int = 0) -> KeyBatch:
    numbered = tuple(enumerate(records, start))
    return KeyBatch(partition=partition, start=start, end=start + len(records), records=numbered)


class KeyIndexSuite:
    async def test_keys_are_found_by_id_and_by_subject(self, index: KeyIndex) -> None:
        assert await index.save(batch(0, key(0), key(1, "account-ab")))
        assert list(await index.find([IDS[0], IDS[2]])) == [key(0)]
        assert await index.find_subject("account-ab") == key(1, "account-ab")
        assert await index.find_subject("account-ac") is None
        assert await index.positions() == {0: 2}

    async def test_a_tombstone_takes_its_key_away(self, index: KeyIndex) -> None:
        assert await index.save(batch(0, key(0), key(1)))
        assert await index.save(batch(2, KeyRecord(key=key(0).key, value=None)))
        assert list(await index.find(IDS)) == [key(1)]
        assert await index.find_subject("account-aa") == key(1)
        assert await index.save(batch(3, KeyRecord(key=key(1).key, value=None)))
        assert await index.find_subject("account-aa") is None

    async def test_a_batch_that_leaves_a_hole_is_refused(self, index: KeyIndex) -> None:
        assert not await index.save(batch(5, key(0)))
        assert list(await index.find(IDS)) == []

    async def test_what_is_indexed_already_is_not_taken_in_again(self, index: KeyIndex) -> None:
        erased = KeyRecord(key=key(0).key, value=None)
        assert await index.save(batch(0, key(0), erased))
        assert await index.save(batch(0, key(0)))
        assert await index.save(batch(1, erased, key(2)))
        assert list(await index.find(IDS)) == [key(2)]
        assert await index.positions() == {0: 3}

    async def test_the_newest_record_of_a_key_is_the_one_that_is_found(self, index: KeyIndex) -> None:
        renewed = KeyRecord(key=key(0).key, value=b"wrapped anew")
        assert await index.save(batch(0, key(0), renewed))
        assert list(await index.find([IDS[0]])) == [renewed]

    async def test_a_key_that_was_erased_stays_erased(self, index: KeyIndex) -> None:
        """Whatever comes later, in the same batch or another."""
        erased, late = KeyRecord(key=key(0).key, value=None), KeyRecord(key=key(1).key, value=None)
        assert await index.save(batch(0, key(0), erased, key(0), key(1)))
        assert list(await index.find(IDS)) == [key(1)]
        assert await index.save(batch(4, late))
        assert await index.save(batch(5, key(0), key(1), key(2)))
        assert list(await index.find(IDS)) == [key(2)]
        assert await index.find_subject("account-aa") == key(2)

    async def test_partitions_of_the_key_topic_are_apart(self, index: KeyIndex) -> None:
        assert await index.save(batch(0, key(0), partition=1))
        assert await index.save(batch(0, key(1), partition=2))
        assert await index.positions() == {1: 1, 2: 1}
