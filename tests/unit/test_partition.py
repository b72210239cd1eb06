"""One partition's state: it stands where it stood when something cannot be read, and halts at what is wrong."""

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from domain.account_state import Pending
from domain.aggregates import AGGREGATES
from domain.identifier import Identifier
from events.identifier import CodeRejected, IdentifierClaimed
from events.streams import identifier_stream
from eventstore.chain import Counted
from eventstore.commit import Position, Record
from eventstore.errors import BasisMovedError, CorruptLogError, UnavailableError
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyBatch, MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.memory_log import MemoryLog
from eventstore.partition import READ_AHEAD, Partition
from eventstore.snapshots import MemorySnapshots, Snapshots
from tests.support.examples import REGISTERED
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic, MemoryKeyStore
from tests.support.scribe import Scribe
from tests.support.writers import ACCOUNT, IDENTIFIER, new_log, new_writer, now

CLAIMED = IdentifierClaimed(account_id="acc")
OTHER = identifier_stream(bytes([0, 0, 0, 1, *bytes(28)]))


class Silent(MemoryLog):
    """A broker that knows its end and hands out nothing."""

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        assert (partition, offset) == (0, 0)
        assert wait_seconds > 0
        return ()


def partition_of(log: Log, keyring: Keyring, snapshots: Snapshots | None = None) -> Partition:
    return Partition(0, log, keyring, AGGREGATES, snapshots or MemorySnapshots(), cache_bytes=1 << 20)


def state(partition: Partition, stream: str) -> object:
    entry = partition.entry(stream)
    assert entry is not None
    return entry.state


async def test_catching_up_tells_of_the_commits_that_are_new() -> None:
    log, keys = await new_log(), KeyTopic()
    partition = partition_of(log, keys.keyring())
    heard: list[Counted] = []
    await partition.catch_up(heard.append)
    assert heard == []
    position = await Scribe(log, keys.keyring()).write(IDENTIFIER, CLAIMED)
    for _ in range(2):
        await partition.catch_up(heard.append)
        assert [counted.position for counted in heard] == [position]
    assert state(partition, IDENTIFIER) == Identifier(holder="acc", claims=("acc",))
    assert partition.position == Position(partition=0, seq=1)


async def test_a_log_that_never_hands_out_its_end_is_unavailable() -> None:
    log = Silent(1)
    await log.append(0, b"k", b"v")
    partition = partition_of(log, KeyTopic().keyring())
    with pytest.raises(UnavailableError, match="partition 0 cannot be read to its end"):
        await partition.catch_up()


async def test_a_commit_that_cannot_be_opened_halts_and_is_never_skipped() -> None:
    log, keys = await new_log(), KeyTopic()
    await Scribe(log, keys.keyring()).write(ACCOUNT, REGISTERED)
    wrong = partition_of(log, keys.keyring(encryption_key=bytes(32)))
    for _ in range(2):
        keys.records.append(keys.records[0])
        with pytest.raises(CorruptLogError, match="a data key does not open"):
            await wrong.catch_up()
        assert (wrong.position.seq, wrong.head.next_offset) == (0, 1)


async def test_a_key_store_that_comes_back_lets_the_same_commit_be_read() -> None:
    class Moody(MemoryKeyStore):
        is_down = True

        def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
            if self.is_down:
                raise UnavailableError("no keys")
            return super().read(positions)

    log, keys = await new_log(), KeyTopic()
    await Scribe(log, keys.keyring()).write(ACCOUNT, REGISTERED)
    store = Moody(keys)
    partition = partition_of(log, Keyring(store, LocalKeyEncryption(KEY_ENCRYPTION_KEY), MemoryKeyIndex()))
    with pytest.raises(UnavailableError, match="no keys"):
        await partition.catch_up()
    store.is_down = False
    await partition.catch_up()
    assert partition.position.seq == 1
    account = state(partition, ACCOUNT)
    assert isinstance(account, Pending)
    assert account.email == "Ada@example.com"


async def test_a_gap_in_the_numbers_of_a_stream_halts() -> None:
    log, keys = await new_log(), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    scribe._versions[IDENTIFIER] = 1  # noqa: SLF001  # a writer that lost count
    await scribe.write(IDENTIFIER, CLAIMED)
    with pytest.raises(CorruptLogError, match="partition 0, offset 1: event 2 after 0"):
        await partition_of(log, keys.keyring()).catch_up()


async def test_a_writer_catches_up_with_every_partition() -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    streams = [identifier_stream(bytes([0, first << 6, *bytes(30)])) for first in (0, 1)]
    for stream in streams:
        await scribe.write(stream, CLAIMED)
    writer = new_writer(log, keys)
    await writer.catch_up()
    assert [(await writer.state(stream)).holder for stream in streams] == ["acc", "acc"]


async def test_a_writer_without_commands_closes_at_once() -> None:
    writer = new_writer(await new_log(), KeyTopic(), deadline_seconds=60)
    await writer.close()


async def test_what_was_saved_is_where_the_next_process_begins() -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    scribe = Scribe(log, keys.keyring())
    await scribe.write(ACCOUNT, REGISTERED)
    await scribe.write(IDENTIFIER, CLAIMED)
    first = partition_of(log, keys.keyring(), snapshots)
    await first.catch_up()
    await first.flush()
    second = partition_of(log, keys.keyring(), snapshots)
    await second.catch_up()
    assert (second.position, second.entry(ACCOUNT)) == (first.position, None)
    await second.load([ACCOUNT, IDENTIFIER])
    assert state(second, ACCOUNT) == state(first, ACCOUNT)
    assert state(second, IDENTIFIER) == Identifier(holder="acc", claims=("acc",))


async def test_a_saved_state_of_an_erased_key_has_lost_its_personal_fields() -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    await Scribe(log, keys.keyring()).write(ACCOUNT, REGISTERED)
    first = partition_of(log, keys.keyring(), snapshots)
    await first.catch_up()
    await first.flush()
    saved = (await snapshots.load(0, [ACCOUNT])).snapshots[ACCOUNT]
    assert b"Ada" not in saved.state
    keys.erase(ACCOUNT)
    second = partition_of(log, keys.keyring(), snapshots)
    await second.catch_up()
    await second.load([ACCOUNT])
    account = state(second, ACCOUNT)
    assert isinstance(account, Pending)
    assert (account.email, account.password.hash) == (None, None)


async def test_a_row_of_another_time_than_the_memory_is_never_used() -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    scribe = Scribe(log, keys.keyring())
    await scribe.write(IDENTIFIER, CLAIMED)
    old, ahead = (partition_of(log, keys.keyring(), snapshots) for _ in range(2))
    await old.catch_up()
    await old.flush()
    await scribe.write(OTHER, CLAIMED)
    await ahead.catch_up()
    await ahead.flush()
    with pytest.raises(BasisMovedError):
        await old.load([OTHER])
    await old.catch_up()
    await old.load([OTHER])
    assert (state(old, OTHER), old.position) == (Identifier(holder="acc", claims=("acc",)), ahead.position)


async def test_whoever_saves_late_changes_nothing_and_goes_on_from_there() -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    scribe = Scribe(log, keys.keyring())
    one, two = (partition_of(log, keys.keyring(), snapshots) for _ in range(2))
    await scribe.write(IDENTIFIER, CLAIMED)
    for partition in (one, two):
        await partition.catch_up()
    await one.flush()
    await scribe.write(IDENTIFIER, CodeRejected())
    await two.catch_up()
    await two.flush()
    assert two.unsaved_commits == 1
    await two.flush()
    guarded = await snapshots.load(0, [IDENTIFIER])
    assert guarded.checkpoint is not None
    assert (guarded.checkpoint.seq, guarded.snapshots[IDENTIFIER].version) == (2, 2)


async def test_a_write_model_of_another_log_halts_with_what_to_do() -> None:
    keys, snapshots = KeyTopic(), MemorySnapshots()
    for _ in range(2):
        log = await new_log()
        await Scribe(log, keys.keyring()).write(IDENTIFIER, CLAIMED, at=now())
        partition = partition_of(log, keys.keyring(), snapshots)
        if (await snapshots.load(0, ())).checkpoint is None:
            await partition.catch_up()
            await partition.flush()
    with pytest.raises(CorruptLogError, match="drop schema write_model"):
        await partition.catch_up()


async def test_what_was_read_over_is_told_to_whoever_looks_for_it() -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    scribe = Scribe(log, keys.keyring())
    old, ahead = (partition_of(log, keys.keyring(), snapshots) for _ in range(2))
    await old.catch_up()
    for _ in range(READ_AHEAD + 1):
        await scribe.write(IDENTIFIER, CodeRejected())
    await ahead.catch_up()
    await ahead.flush()
    heard: list[Counted] = []
    await old.catch_up(heard.append)
    assert (len(heard), old.entry(IDENTIFIER)) == (READ_AHEAD + 1, None)
    assert old.position == ahead.position
