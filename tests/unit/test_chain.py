"""The rule of the chain: what counts, what is void, what halts."""

import base64
import hashlib
import json
import uuid
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from eventstore import chain as chain_module
from eventstore.chain import ChainReader, Head
from eventstore.commit import Genesis, Position, Record, encode, hash_record, new_commit_id
from eventstore.errors import CorruptLogError
from tests.support.chains import AT, KEY, LOG_ID, commit_after, genesis, head_after


def begun() -> ChainReader:
    reader = ChainReader(0, 1)
    assert reader.admit(genesis()) is None
    return reader


def test_the_hash_is_the_documented_one() -> None:
    message = b"chancery/log/v1\x00" + (3).to_bytes(4, "big") + b"key" + b"value"
    expected = base64.urlsafe_b64encode(hashlib.sha256(message).digest()).decode().rstrip("=")
    assert hash_record(b"key", b"value") == expected


def test_a_commit_id_is_a_uuid_that_sorts_by_time() -> None:
    first, second = (uuid.UUID(new_commit_id(AT + timedelta(seconds=n))) for n in (0, 1))
    assert {(one.version, one.variant) for one in (first, second)} == {(7, uuid.RFC_4122)}
    assert first < second
    assert first.int >> 80 == int(AT.timestamp() * 1000)


def test_the_genesis_has_the_documented_form() -> None:
    value = genesis().value
    assert value is not None
    assert json.loads(value) == {
        "v": 1, "seq": 0, "prev": "", "log": LOG_ID, "partition": 0, "partitions": 1, "slots": 1024,
        "at": "2026-01-31T12:00:00Z",
    }  # fmt: skip


def test_a_record_that_extends_the_chain_counts() -> None:
    reader = begun()
    record = commit_after(reader.head)
    counted = reader.admit(record)
    assert counted is not None
    assert (counted.position, counted.offset) == (Position(partition=0, seq=1), 1)
    assert str(counted.position) == "0:1"
    assert reader.head == head_after(record, 1)
    assert reader.log_id == LOG_ID


def test_the_first_of_two_competing_records_wins() -> None:
    reader = begun()
    first, second = commit_after(reader.head, "first"), commit_after(reader.head, "second")
    assert reader.admit(first) is not None
    assert reader.admit(replace(second, offset=2)) is None
    assert reader.void_records == 1
    assert reader.admit(commit_after(reader.head, "third")) is not None


@pytest.mark.parametrize("spoil", ["key", "place", "name", "events"])
def test_what_extends_the_chain_where_it_has_no_place_halts(spoil: str) -> None:
    reader = ChainReader(0, 2)
    reader.admit(genesis(partitions=2))
    record = commit_after(reader.head, events=0 if spoil == "events" else 1)
    value = record.value or b""
    bad = {
        "key": replace(record, key=b"account-aa"),
        "place": replace(record, key=b"c-ab", value=value.replace(b"c-aa", b"c-ab")),
        "name": replace(record, key=b"nothing", value=value.replace(b"c-aa", b"nothing")),
        "events": record,
    }[spoil]
    with pytest.raises(CorruptLogError, match=r"key is not|does not live|without events"):
        reader.admit(bad)


def test_a_duplicate_is_void() -> None:
    reader = begun()
    record = commit_after(reader.head)
    reader.admit(record)
    assert reader.admit(replace(record, offset=2)) is None


def test_a_second_genesis_is_void() -> None:
    reader = begun()
    assert reader.admit(replace(genesis(), offset=1)) is None
    assert reader.log_id == LOG_ID


def test_what_follows_a_void_record_is_void_too() -> None:
    reader = begun()
    lost = commit_after(reader.head, "lost")
    orphan = commit_after(head_after(lost, 1), "orphan")
    assert reader.admit(replace(orphan, offset=1)) is None


def test_what_was_chained_on_a_void_record_never_counts_although_its_number_fits() -> None:
    reader = begun()
    first, void = commit_after(reader.head, "first"), commit_after(reader.head, "void")
    reader.admit(first)
    reader.admit(replace(void, offset=2))
    on_void = commit_after(head_after(void, 1), "on-void")
    assert reader.admit(replace(on_void, offset=3)) is None
    assert reader.head.seq == 1


def test_reading_on_from_a_stored_head_gives_the_same() -> None:
    reader = begun()
    reader.admit(commit_after(reader.head))
    resumed = ChainReader(0, 1, reader.head)
    record = commit_after(reader.head)
    assert resumed.admit(record) == reader.admit(record)
    assert resumed.head == reader.head


VALUES = [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b'{"v":1}',
    b'{"v":2,"seq":1,"prev":""}',
    b'{"v":1,"seq":1,"prev":"PREV"}',
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_is_no_record_halts_the_partition(value: bytes) -> None:
    reader = begun()
    broken = value.replace(b"PREV", reader.head.hash.encode())
    with pytest.raises(CorruptLogError) as halted:
        reader.admit(Record(partition=0, offset=1, key=KEY, value=broken))
    assert (halted.value.partition, halted.value.offset) == (0, 1)
    assert reader.head.next_offset == 1


@pytest.mark.parametrize(("key", "value"), [(None, b"{}"), (KEY, None)])
def test_a_record_without_key_or_value_halts(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(CorruptLogError):
        begun().admit(Record(partition=0, offset=1, key=key, value=value))


@pytest.mark.parametrize("offset", [0, 2])
def test_a_jump_in_offsets_halts(offset: int) -> None:
    reader = begun()
    with pytest.raises(CorruptLogError):
        reader.admit(replace(commit_after(reader.head), offset=offset))


@pytest.mark.parametrize(("partition", "partitions"), [(1, 1), (0, 2)])
def test_the_genesis_of_another_layout_halts(partition: int, partitions: int) -> None:
    with pytest.raises(CorruptLogError):
        ChainReader(0, 1).admit(replace(genesis(partition, partitions), partition=0))


def test_a_log_with_other_slots_halts() -> None:
    made = Genesis.of(log_id=LOG_ID, partition=0, partitions=1, at=AT)
    value = encode(msgspec.structs.replace(made, slots=7))
    with pytest.raises(CorruptLogError):
        ChainReader(0, 1).admit(Record(partition=0, offset=0, key=b"genesis", value=value))


def test_a_chain_that_never_goes_on_halts() -> None:
    reader = begun()
    reader.admit(commit_after(reader.head))
    void = genesis()
    for offset in range(2, 2 + chain_module.MAX_VOID_RUN):
        reader.admit(replace(void, offset=offset))
    with pytest.raises(CorruptLogError):
        reader.admit(replace(void, offset=reader.head.next_offset))


def test_a_fresh_head_stands_before_the_genesis() -> None:
    assert Head() == Head(seq=-1, hash="", next_offset=0)
