"""The keyring and the facts it seals: erased keys take their fields along, moved or changed fields are found."""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import msgspec
import pytest

from events.account import AccountRegistered, SignUpRepeated
from events.idempotency import RequestAnswered
from eventstore.chain import Counted
from eventstore.commit import Actor, Commit, Position, SealedEvent
from eventstore.facts import open_commit, subject_of
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import KeyBatch, KeyRecord, MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.sealing import UnsealError, key_id_of
from tests.support.examples import NOON, REGISTERED, recorded
from tests.support.memory_keys import KeyTopic, MemoryKeyStore, sealed_events

STREAM = "account-aa"
OTHER = "account-ab"
POSITION = Position(partition=0, seq=1)
ERASED = replace(REGISTERED, email=None, display_name=None, password_hash=None)


def counted(*events: SealedEvent) -> Counted:
    commit = Commit(
        v=1, seq=1, prev="", commit="c", at=NOON, actor=Actor(kind="system"), trace="", events=events
    )
    return Counted(position=POSITION, offset=1, hash="", commit=commit)


async def sealed(keyring: Keyring, stream: str = STREAM) -> SealedEvent:
    (event,) = await sealed_events(keyring, [(stream, 1, REGISTERED)], NOON)
    return event


async def test_what_one_keyring_sealed_another_opens() -> None:
    topic = KeyTopic()
    event = await sealed(topic.keyring())
    (fact,) = await open_commit(topic.keyring(), counted(event))
    assert fact == recorded(REGISTERED, STREAM)


async def test_sealed_events_show_no_personal_field() -> None:
    event = await sealed(KeyTopic().keyring())
    assert not set(event.data) & set(AccountRegistered.personal_fields)
    assert b"Ada" not in msgspec.json.encode(event)


async def test_a_fact_without_personal_fields_needs_no_key() -> None:
    topic = KeyTopic()
    (event,) = await sealed_events(topic.keyring(), [(STREAM, 1, SignUpRepeated(notice_id="n"))], NOON)
    assert (event.sealed, topic.records) == ("", [])
    (fact,) = await open_commit(topic.keyring(), counted(event))
    assert fact.event == SignUpRepeated(notice_id="n", email=None)


async def test_one_subject_has_one_key_that_is_stored_once() -> None:
    topic = KeyTopic()
    keyring = topic.keyring()
    first, second = await sealed(keyring), await sealed(keyring)
    other = await sealed(keyring, OTHER)
    assert key_id_of(first.sealed) == key_id_of(second.sealed) != key_id_of(other.sealed)
    assert [record.key.rpartition("/")[0] for record in topic.records] == [STREAM, OTHER]


async def test_the_key_is_stored_before_anything_is_sealed_with_it() -> None:
    class Full(MemoryKeyStore):
        async def put(self, record: KeyRecord) -> None:
            raise OSError(f"no room for {len(record.key)} characters")

    keyring = Keyring(Full(KeyTopic()), LocalKeyEncryption(bytes(32)), MemoryKeyIndex())
    with pytest.raises(OSError, match="no room"):
        await sealed(keyring)
    with pytest.raises(OSError, match="no room"):
        await keyring.key_for(STREAM)


async def test_an_erased_key_leaves_facts_without_personal_fields() -> None:
    topic = KeyTopic()
    event = await sealed(topic.keyring())
    topic.erase(STREAM)
    (fact,) = await open_commit(topic.keyring(), counted(event))
    assert fact.event == ERASED


async def test_a_keyring_forgets_a_key_that_is_erased_while_it_runs() -> None:
    topic = KeyTopic()
    keyring = topic.keyring()
    event = await sealed(keyring)
    topic.erase(STREAM)
    await keyring.catch_up()
    (fact,) = await open_commit(keyring, counted(event))
    assert fact.event == ERASED
    again = await sealed(keyring)
    assert key_id_of(again.sealed) != key_id_of(event.sealed)


async def test_erasing_an_old_key_keeps_the_newer_one_in_use() -> None:
    topic = KeyTopic()
    one, two = topic.keyring(), topic.keyring()
    old = await sealed(one)
    new = await sealed(two)
    await one.catch_up()
    topic.records.append(KeyRecord(key=f"{STREAM}/{key_id_of(old.sealed)}", value=None))
    await one.catch_up()
    assert key_id_of((await sealed(one)).sealed) == key_id_of(new.sealed)
    facts = await open_commit(one, counted(old, new))
    assert [fact.event for fact in facts] == [ERASED, REGISTERED]


async def test_a_key_that_nobody_has_is_looked_for_in_the_topic() -> None:
    class Counting(MemoryKeyStore):
        reads = 0

        def read(self, positions: Mapping[int, int]) -> AsyncIterator[KeyBatch]:
            Counting.reads += 1
            return super().read(positions)

    event = await sealed(KeyTopic().keyring())
    keyring = Keyring(Counting(KeyTopic()), LocalKeyEncryption(bytes(32)), MemoryKeyIndex())
    assert await keyring.find(key_id_of(event.sealed)) is None
    assert Counting.reads == 1


@pytest.mark.parametrize(
    "moved",
    [{"stream": OTHER}, {"version": 2}, {"type": "account.verification_requested"}],
    ids=["stream", "version", "type"],
)
async def test_a_sealed_event_that_was_moved_halts_its_reader(moved: dict[str, object]) -> None:
    topic = KeyTopic()
    event = msgspec.structs.replace(await sealed(topic.keyring()), **moved)
    with pytest.raises(UnsealError):
        await open_commit(topic.keyring(), counted(event))


async def test_a_sealed_event_that_was_changed_halts_its_reader() -> None:
    topic = KeyTopic()
    event = await sealed(topic.keyring())
    raw = bytearray(base64.urlsafe_b64decode(event.sealed + "=" * (-len(event.sealed) % 4)))
    raw[-1] ^= 1
    changed = msgspec.structs.replace(event, sealed=base64.urlsafe_b64encode(raw).decode())
    with pytest.raises(UnsealError):
        await open_commit(topic.keyring(), counted(changed))


async def test_kept_answers_of_one_day_share_a_key_and_those_of_the_next_have_another() -> None:
    topic = KeyTopic()
    keyring = topic.keyring()
    answer = RequestAnswered(answer="{}", answered_at=NOON)
    subjects = [subject_of(stream, NOON) for stream in ("answer-aa", "answer-ab", STREAM)]
    assert subjects == ["answers-2026-01-31", "answers-2026-01-31", STREAM]
    events = await sealed_events(keyring, [("answer-aa", 1, answer), ("answer-ab", 1, answer)], NOON)
    assert len({key_id_of(event.sealed) for event in events}) == 1
    (tomorrow,) = await sealed_events(keyring, [("answer-aa", 2, answer)], NOON.replace(month=2, day=1))
    assert key_id_of(tomorrow.sealed) != key_id_of(events[0].sealed)
