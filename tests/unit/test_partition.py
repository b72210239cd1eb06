"""One partition's state: it stands where it stood when something cannot be read, and halts at what is wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from domain.aggregates import AGGREGATES
from domain.idempotency import KEPT_FOR, Fresh, Received
from domain.identifier import Identifier
from events.idempotency import RequestReceived
from events.identifier import IdentifierClaimed
from events.streams import identifier_stream
from eventstore.commit import Position, Record
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.keyring import KeyRecord, Keyring
from eventstore.log import Log
from eventstore.memory_log import MemoryLog
from eventstore.partition import Partition
from eventstore.writer import Writer
from tests.support.examples import MINUTE, NOON, REGISTERED
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic, MemoryKeyStore
from tests.support.scribe import Scribe
from tests.support.writers import ACCOUNT, IDENTIFIER, SYSTEM, new_log, now

CLAIMED = IdentifierClaimed(account_id="acc")


class Silent(MemoryLog):
    """A broker that knows its end and hands out nothing."""

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        assert (partition, offset) == (0, 0)
        assert wait_seconds > 0
        return ()


def partition_of(log: Log, keyring: Keyring) -> Partition:
    return Partition(0, log, keyring, AGGREGATES)


async def test_catching_up_gives_the_commits_that_are_new() -> None:
    log, keys = await new_log(), KeyTopic()
    partition = partition_of(log, keys.keyring())
    assert not partition.is_certain
    assert await partition.catch_up() == ()
    assert partition.is_certain
    position = await Scribe(log, keys.keyring()).write(IDENTIFIER, CLAIMED)
    assert [counted.position for counted in await partition.catch_up()] == [position]
    assert await partition.catch_up() == ()
    assert partition.state(IDENTIFIER) == Identifier(holder="acc")
    assert (partition.version(IDENTIFIER), partition.position) == (1, Position(partition=0, seq=1))


async def test_a_log_that_never_hands_out_its_end_is_unavailable() -> None:
    log = Silent(1)
    await log.append(0, b"k", b"v")
    partition = partition_of(log, KeyTopic().keyring())
    with pytest.raises(UnavailableError, match="partition 0 cannot be read to its end"):
        await partition.catch_up()
    assert not partition.is_certain


async def test_a_commit_that_cannot_be_opened_halts_and_is_never_skipped() -> None:
    log, keys = await new_log(), KeyTopic()
    await Scribe(log, keys.keyring()).write(ACCOUNT, REGISTERED)
    wrong = partition_of(log, Keyring(MemoryKeyStore(keys), bytes(32)))
    for _ in range(2):
        keys.records.append(keys.records[0])
        with pytest.raises(CorruptLogError, match="a data key does not open"):
            await wrong.catch_up()
        assert (wrong.position.seq, wrong.next_offset) == (0, 1)


async def test_a_key_store_that_comes_back_lets_the_same_commit_be_read() -> None:
    class Moody(MemoryKeyStore):
        is_down = True

        def read_new(self) -> AsyncIterator[KeyRecord]:
            if self.is_down:
                raise UnavailableError("no keys")
            return super().read_new()

    log, keys = await new_log(), KeyTopic()
    await Scribe(log, keys.keyring()).write(ACCOUNT, REGISTERED)
    store = Moody(keys)
    partition = partition_of(log, Keyring(store, KEY_ENCRYPTION_KEY))
    with pytest.raises(UnavailableError, match="no keys"):
        await partition.catch_up()
    store.is_down = False
    assert [counted.position.seq for counted in await partition.catch_up()] == [1]
    assert partition.state(ACCOUNT).email == "Ada@example.com"


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
    writer = Writer(log, keys.keyring(), AGGREGATES, clock=now, deadline_seconds=5)
    await writer.catch_up()
    assert [writer.state(stream).holder for stream in streams] == ["acc", "acc"]


async def test_a_writer_without_commands_closes_at_once() -> None:
    writer = Writer(await new_log(), KeyTopic().keyring(), AGGREGATES, clock=now, deadline_seconds=60)
    await writer.close()


def test_a_process_that_ends_takes_its_waiting_commands_with_it() -> None:
    async def main() -> tuple[Writer, MemoryLog]:
        log = await new_log()
        writer = Writer(log, KeyTopic().keyring(), AGGREGATES, clock=now, deadline_seconds=60)
        await writer._partitions[0].lock.acquire()  # noqa: SLF001  # stands in for a command before it
        waiting = asyncio.create_task(writer.transact(IDENTIFIER, lambda draft: draft.position, SYSTEM))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        return writer, log

    writer, log = asyncio.run(main())
    assert not writer._running  # noqa: SLF001  # what `close` would wait for
    assert asyncio.run(log.end(0)) == 1


async def test_a_state_that_has_passed_is_let_go_unless_something_newer_was_said() -> None:
    log, keys = await new_log(), KeyTopic()
    scribe, later = Scribe(log, keys.keyring()), NOON + KEPT_FOR + MINUTE
    old, renewed = "request-" + "a" * 26, "request-" + "b" * 26
    for stream in (old, renewed):
        await scribe.write(stream, RequestReceived(fingerprint="first", received_at=NOON), at=NOON)
    await scribe.write(renewed, RequestReceived(fingerprint="second", received_at=later), at=later)
    partition = partition_of(log, keys.keyring())
    await partition.catch_up()
    assert [partition.state(stream) for stream in (old, renewed)] == [
        Fresh(),
        Received(fingerprint="second", received_at=later),
    ]
    assert [partition.version(stream) for stream in (old, renewed)] == [1, 2]
