"""`replay verify` finds what was changed in a log, says where, and accuses no honest one."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from events.streams import client_stream, new_id
from eventstore.chain import MAX_VOID_RUN
from eventstore.commit import Genesis, Record, encode
from replay.partition_check import Broken, BrokenLogError, PartitionCheck, PartitionReport, SavedHead
from replay.verify import conclude
from tests.support.chains import AT, LOG_ID, genesis
from tests.support.histories import (
    COMMITS,
    OTHER_LOG,
    TAMPERINGS,
    History,
    commit,
    flipped,
    hash_of,
    honest,
    numbered,
    truncated,
    without_copies,
)

STREAM = client_stream(new_id())


def proven(records: list[Record], check: PartitionCheck | None = None) -> PartitionReport:
    check = check or PartitionCheck(partition=0, partitions=1)
    try:
        for record in records:
            check.feed(record.offset, record.key, record.value)
    except BrokenLogError:
        pass
    return check.report()


def saved(history: History) -> PartitionCheck:
    head = SavedHead(seq=COMMITS, hash=history.last_hash)
    return PartitionCheck(partition=0, partitions=1, expected=head)


def broken_by(*records: Record) -> Broken | None:
    """What is found in a chain that begins with a genesis."""
    return proven(numbered([genesis(), *records])).broken


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_log_is_whole_and_every_void_record_has_its_cause(seed: int) -> None:
    history = honest(seed)
    for check in (None, saved(history), PartitionCheck(partition=0, partitions=1, is_thorough=False)):
        report = proven(history.records, check)
        assert report.broken is None
        assert (report.seq, report.hash, report.log_id) == (COMMITS, history.last_hash, LOG_ID)
        assert (report.records, report.commits, report.events) == (len(history.records), COMMITS, COMMITS)
        assert sum(report.void.values()) == len(history.records) - COMMITS - 1
        assert set(report.void) <= {"copy", "lost a race", "after a void one"}


@pytest.mark.parametrize("kind", TAMPERINGS)
@pytest.mark.parametrize("seed", range(100))
def test_tampering_with_any_record_is_found_where_it_happened(kind: str, seed: int) -> None:
    assert_found(kind, seed, PartitionCheck(partition=0, partitions=1))


def assert_found(kind: str, seed: int, check: PartitionCheck) -> None:
    """At the record itself or at the next that counts, which names what is not there any more."""
    history, chance = honest(seed % 10), random.Random(seed)
    seq = chance.randrange(COMMITS - 5)
    history = without_copies(history, history.counted[seq])
    at = history.counted[seq]
    check.most_pipelined = 2
    broken = proven(TAMPERINGS[kind](history, at, chance), check).broken
    assert broken is not None
    assert at <= broken.offset <= history.counted[seq + 1]


class Credulous(PartitionCheck):
    """The seeded bug: believes that whatever does not count has lost a race."""

    def _explain_voids(self) -> None:
        self._voids.clear()


class Hashless(PartitionCheck):
    """Another: links records by their number alone."""

    def feed(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        self._next_offset = offset + bool(key or value)


@pytest.mark.parametrize("check", [Credulous, Hashless])
def test_a_check_that_looks_away_is_caught_by_these_tests(check: type[PartitionCheck]) -> None:
    caught = 0
    for seed in range(20):
        try:
            assert_found("flip", seed, check(partition=0, partitions=1))
        except AssertionError:
            caught += 1
    assert caught > 0


@pytest.mark.parametrize("seed", range(20))
def test_a_missing_or_changed_tail_is_found_by_a_saved_head_and_by_nothing_else(seed: int) -> None:
    history, chance = honest(seed), random.Random(seed)
    cut = truncated(history, history.counted[chance.randrange(1, COMMITS)], chance)
    assert proven(cut).broken is None
    found = proven(cut, saved(history)).broken
    assert found == Broken(offset=len(cut), reason=f"the log ends before commit {COMMITS}, which was saved")
    last = history.counted[-1]
    changed = flipped(history, last, chance)
    assert proven(changed, saved(history)).broken is not None


def test_a_copy_of_any_record_is_void_wherever_it_stands() -> None:
    history = honest(1)
    for at in history.counted[1:]:
        records = numbered([*history.records, history.records[at]])
        report = proven(records)
        assert report.broken is None
        assert report.void["copy"] >= 1


def test_a_place_that_was_taken_before_an_honest_record_is_found_by_the_many_that_follow_that() -> None:
    """The honest one is still there and void, and all that was built on it."""
    history = honest(3)
    at = history.counted[5]
    forged = commit(5, hash_of(history.records[history.counted[4]]), client_stream(new_id()))
    records = numbered([*history.records[:at], forged, *history.records[at:]])
    found = proven(records, PartitionCheck(partition=0, partitions=1, most_pipelined=10)).broken
    next_at = history.counted[6] + 1
    assert found == Broken(offset=next_at, reason="11 records go on from a void one: its place was taken")


def test_a_command_that_was_tried_again_is_told_from_one_that_was_given_up() -> None:
    base = hash_of(genesis())
    first = commit(1, base, STREAM)
    lost, given_up = commit(1, base, STREAM, commit="c"), commit(1, base, STREAM, commit="d")
    again = commit(2, hash_of(first), STREAM, 2, commit="c")
    report = proven(numbered([genesis(), first, lost, given_up, again]))
    assert (report.broken, report.void) == (None, {"lost a race": 1, "tried again": 1})


def test_a_second_genesis_is_void() -> None:
    report = proven(numbered([genesis(), genesis()]))
    assert (report.broken, report.void) == (None, {"second genesis": 1})


def test_a_log_without_its_beginning_is_broken() -> None:
    found = broken_from(honest(2).records[3:])
    assert found == Broken(offset=3, reason="expected offset 0; records between are missing")
    assert broken_from([]) == Broken(offset=0, reason="there is no genesis")
    assert broken_from(numbered(honest(2).records[1:])) is not None


def broken_from(records: list[Record]) -> Broken | None:
    return proven(records).broken


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", "a record without key or value"),
        (b"k", None, "a record without key or value"),
        (b"k", b"", "not a record of Chancery"),
        (b"k", b"\xff", "not a record of Chancery"),
        (b"k", b'{"v":2,"seq":1,"prev":"","at":"2026-01-31T12:00:00Z"}', "format version 2"),
    ],
)
def test_what_is_no_record_of_ours_ends_the_proof(
    key: bytes | None, value: bytes | None, reason: str
) -> None:
    found = broken_by(Record(partition=0, offset=1, key=key, value=value))
    assert found is not None
    assert (found.offset, found.reason.startswith(reason)) == (1, True)


def test_the_genesis_is_of_this_partition_and_of_as_many() -> None:
    for one in (
        genesis(partition=1),
        genesis(partitions=2),
        structs.replace(genesis(), value=commit(0, "", STREAM).value),
    ):
        found = proven([structs.replace(one, partition=0)]).broken
        assert found == Broken(offset=0, reason="not the genesis of this partition")


def test_a_commit_in_the_chain_must_still_be_one() -> None:
    base = hash_of(genesis())
    empty = Genesis.of(log_id="", partition=0, partitions=1, at=AT)
    value = encode(empty).replace(b'"seq":0,"prev":""', f'"seq":1,"prev":"{base}"'.encode())
    found = broken_by(Record(partition=0, offset=1, key=b"k", value=value))
    assert found == Broken(offset=1, reason="neither a commit nor a genesis")


def test_whoever_extends_the_chain_must_still_keep_the_rules_of_a_commit() -> None:
    base = hash_of(genesis())
    first = commit(1, base, STREAM, commit="c")
    wrong = {
        "time runs backwards": commit(2, hash_of(first), STREAM, 2, at=AT - timedelta(seconds=1)),
        "the key is not": commit(2, hash_of(first), STREAM, 2, key=b"client-x"),
        f"version 3 of {STREAM} after 1": commit(2, hash_of(first), STREAM, 3),
        "stream nonsense does not live": commit(2, hash_of(first), "nonsense"),
        "commit 2 has the id of another": commit(2, hash_of(first), STREAM, 2, commit="c"),
    }
    for reason, second in wrong.items():
        copied = structs.replace(first, offset=-1)
        found = broken_by(first, copied, second)
        assert found is not None
        assert (found.offset, found.reason.startswith(reason)) == (3, True), reason


def test_a_stream_lives_in_the_partition_of_its_slot() -> None:
    elsewhere = client_stream(new_id(1))
    check = PartitionCheck(partition=0, partitions=2)
    records = numbered([genesis(partitions=2), commit(1, hash_of(genesis(partitions=2)), elsewhere)])
    found = proven(records, check).broken
    assert found == Broken(offset=1, reason=f"stream {elsewhere} does not live in this partition")


def test_a_chain_that_never_goes_on_ends_the_proof() -> None:
    base = hash_of(genesis())
    first = commit(1, base, STREAM)
    records = numbered([genesis(), first, *([first] * (MAX_VOID_RUN + 1))])
    found = proven(records).broken
    assert found == Broken(offset=MAX_VOID_RUN + 2, reason="the chain does not go on")


def test_the_first_of_several_bad_places_is_told() -> None:
    base = hash_of(genesis())
    first = commit(1, base, STREAM, 2)
    second = commit(2, hash_of(first), STREAM, 9)
    found = broken_by(first, second)
    assert found == Broken(offset=1, reason=f"version 2 of {STREAM} after 0")


def test_partitions_are_of_one_log() -> None:
    here = proven([genesis()])
    there = replace(here, partition=1, log_id=OTHER_LOG)
    proof = conclude([here, there], 1.0)
    assert proof.broken == {
        1: Broken(offset=0, reason=f"belongs to log {OTHER_LOG}, and partition 0 to {LOG_ID}")
    }
    assert proof.records == 2
    assert conclude([here, replace(here, partition=1)], 1.0).broken == {}
