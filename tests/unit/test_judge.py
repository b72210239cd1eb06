"""The judge of fault runs: a clean run passes, and each rule turns red on the fault that it is there for."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from msgspec import structs

from eventstore.chain import ChainReader, Counted
from eventstore.commit import Actor, Commit, Record, SealedEvent, encode
from tests.support.chains import AT, genesis
from tests.support.history import Line, outcome_of
from tests.support.judge import Evidence, Head, counted_by_outcome, judge

KEYS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 5)]
RENAMED = "profile.changed"


def chain(*commits: tuple[str, str]) -> dict[str, Counted]:
    """A log of commits, each given by its command's key and the type of its one event."""
    reader, log = ChainReader(0, 1), {}
    assert reader.admit(genesis()) is None
    for version, (key, event_type) in enumerate(commits, start=1):
        event = SealedEvent(stream="account-aa", version=version, type=event_type, rev=1, data={})
        commit = Commit(
            v=1,
            seq=reader.head.seq + 1,
            prev=reader.head.hash,
            commit=f"c{version}",
            at=AT,
            actor=Actor(kind="system"),
            trace=f"00-{key.replace('-', '')}-{'2' * 16}-01",
            events=(event,),
        )
        record = Record(partition=0, offset=reader.head.next_offset, key=b"account-aa", value=encode(commit))
        counted = reader.admit(record)
        assert counted is not None
        log[str(counted.position)] = counted
    return log


def line(number: int, **more: Any) -> Line:
    """An acknowledged command, whose commit is the number-th of the log unless more is said."""
    told: dict[str, Any] = {"outcome": "ok", "status": 204, "position": f"0:{number}"}
    told.update(more)
    return Line(
        client=1,
        operation="PATCH /v1/me",
        effect=RENAMED,
        key=KEYS[number - 1],
        invoked=1.0,
        returned=2.0,
        **told,
    )


def unknown(number: int, **more: Any) -> Line:
    return line(number, **{"outcome": "unknown", "status": 0, "position": "", **more})


LOG = chain(*((key, RENAMED) for key in KEYS[:3]))
LINES = (line(1), unknown(2), line(2), unknown(3, status=503, has_retry_after=True), line(3))
HEAD = Head(reader="somebody", partition=0, seq=3, hash=LOG["0:3"].hash)


def faults(
    lines: Iterable[Line] = LINES, log: dict[str, Counted] | None = None, head: Head = HEAD
) -> set[int]:
    """The rules that were broken."""
    evidence = Evidence(lines=tuple(lines), log=LOG if log is None else log, heads=(head,))
    return {int(fault.partition(":")[0]) for fault in judge(evidence)}


def test_a_run_in_which_all_went_well_has_no_fault() -> None:
    assert faults() == set()
    assert counted_by_outcome(LINES) == {"ok": 3, "fail": 0, "unknown": 2}


def without(log: dict[str, Counted], position: str) -> dict[str, Counted]:
    return {at: counted for at, counted in log.items() if at != position}


def test_rule_1_an_acknowledged_command_that_is_not_in_the_log_was_lost() -> None:
    assert faults([*LINES, line(4)]) == {1}
    assert faults(log=chain(*((key, RENAMED) for key in KEYS[:2])), head=replace(HEAD, seq=0)) == {1}


def test_rule_1_an_acknowledged_command_must_stand_where_it_was_said_to() -> None:
    assert faults([*LINES[:-1], line(3, position="0:2")]) == {1}
    assert faults(
        log=chain((KEYS[0], RENAMED), (KEYS[1], "x"), (KEYS[2], RENAMED)), head=replace(HEAD, seq=0)
    ) == {1}


def test_rule_2_a_key_that_took_effect_twice_is_a_duplicate() -> None:
    assert faults(
        log=chain(*((key, RENAMED) for key in (*KEYS[:3], KEYS[0]))), head=replace(HEAD, seq=0)
    ) == {2}
    answered = chain(*((key, RENAMED) for key in KEYS[:3]), *[(KEYS[0], "request.answered")] * 2)
    assert faults(log=answered, head=replace(HEAD, seq=0)) == {2}


def test_rule_3_a_command_that_failed_and_took_effect_is_a_phantom() -> None:
    assert faults([*LINES[:-1], line(3, outcome="fail", status=409, position="")]) == {3}


def test_rule_3_a_repetition_whose_token_has_ended_says_nothing_of_the_first_attempt() -> None:
    told = {"outcome": "fail", "status": 401, "position": "", "answer": "urn:chancery:problem:invalid-token"}
    assert faults([*LINES[:-1], line(3, **told)]) == set()
    assert faults([line(1), line(2), line(3, **told)]) == {3}
    assert faults([*LINES[:-1], line(3, **{**told, "answer": "urn:chancery:problem:wrong-password"})]) == {3}


def test_rule_4_two_readers_that_see_different_logs_are_found() -> None:
    assert faults(head=replace(HEAD, hash=LOG["0:2"].hash)) == {4}
    assert faults(head=replace(HEAD, seq=4)) == set()
    assert faults(head=replace(HEAD, seq=0, hash="genesis")) == set()


def test_rule_7_what_never_had_an_outcome_or_had_two_is_unresolved() -> None:
    assert faults([*LINES, unknown(4)]) == {7}
    assert faults([*LINES, line(3, answer="another")]) == {7}
    assert faults([*LINES, line(3, status=200)]) == {7}


def test_rule_9_a_hole_a_wrong_link_or_a_jump_in_a_stream_breaks_the_chain() -> None:
    rest = [one for one in LINES if one.key != KEYS[1]]
    assert faults(rest, without(LOG, "0:2")) == {9}
    third = LOG["0:3"]
    unlinked = structs.replace(third, commit=_with(third.commit, prev="somewhere else"))
    assert faults(log={**LOG, "0:3": unlinked}) == {9}
    (event,) = third.commit.events
    jumped = SealedEvent(stream=event.stream, version=5, type=event.type, rev=1, data={})
    assert faults(
        log={**LOG, "0:3": structs.replace(third, commit=_with(third.commit, events=(jumped,)))}
    ) == {9}


def _with(commit: Commit, **changed: Any) -> Commit:
    return Commit(**{**{name: getattr(commit, name) for name in commit.__struct_fields__}, **changed})


@pytest.mark.parametrize(
    "told",
    [
        {"status": 500, "has_retry_after": True},
        {"status": 502, "has_retry_after": True},
        {"status": 503, "has_retry_after": False},
        {"status": 503, "has_retry_after": True, "answer": 'Traceback (most recent call last): File "x"'},
    ],
)
def test_rule_10_any_5xx_but_503_with_retry_after_and_any_trace_is_bad(told: dict[str, Any]) -> None:
    assert faults([*LINES[:-1], unknown(3, **told), LINES[-1]]) == {10}


def test_no_answer_and_every_5xx_are_unknown_and_the_rest_is_what_it_says() -> None:
    statuses = {
        200: "ok",
        204: "ok",
        400: "fail",
        409: "fail",
        429: "unknown",
        500: "unknown",
        503: "unknown",
    }
    assert {status: outcome_of(httpx.Response(status)) for status in statuses} == statuses
    assert outcome_of(None) == "unknown"
