"""The writer: what it acknowledges counts, what it cannot know it says, and nobody is doubled."""

import asyncio
import time
from dataclasses import replace

import pytest

from domain.client import RegisterClient
from domain.identifier import FailUnknownSignIn, Identifier, PresentCode, Reserve
from domain.refusals import ClientExists
from events.streams import client_stream, partition_of
from eventstore.errors import (
    CorruptLogError,
    OutcomeUnknownError,
    OverloadedError,
    StaleBasisError,
    UnavailableError,
)
from eventstore.memory_log import MemoryLog
from eventstore.writer import Draft
from tests.support.examples import MINUTE, NOON, REGISTER
from tests.support.memory_keys import KeyTopic
from tests.support.writers import (
    ACCOUNT,
    ACCOUNT_ID,
    IDENTIFIER,
    SYSTEM,
    counted_commits,
    new_log,
    new_writer,
    now,
)

CLIENT_ID = "aa" + "a" * 24
CLIENT = client_stream(CLIENT_ID)
REGISTER_CLIENT = RegisterClient(
    client_id=CLIENT_ID, name="n", scopes=("s",), audiences=(), secret_digest="d", at=NOON
)


def register_client(draft: Draft) -> str:
    draft.decide(CLIENT, REGISTER_CLIENT)
    return f"registered at {draft.position}"


def count_failure(draft: Draft) -> str:
    draft.decide(IDENTIFIER, FailUnknownSignIn())
    return str(draft.position)


def do_nothing(draft: Draft) -> str:
    return str(draft.state(IDENTIFIER))


async def test_a_decision_becomes_one_commit_with_its_position() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    done = await writer.transact(CLIENT, register_client, SYSTEM)
    assert (done.reply, str(done.position)) == ("registered at 0:1", "0:1")
    assert [commit.position for commit in await counted_commits(log)] == [done.position]


async def test_events_of_two_streams_are_one_commit_and_fold_at_once() -> None:
    log, keys = await new_log(), KeyTopic()

    def sign_up(draft: Draft) -> None:
        reserve = Reserve(account_id=ACCOUNT_ID, challenge_id="c", code_expires_at=draft.at + MINUTE, limit=5)
        draft.decide(IDENTIFIER, reserve)
        state: Identifier = draft.state(IDENTIFIER)
        assert state.waiting[0].account_id == ACCOUNT_ID
        draft.decide(ACCOUNT, replace(REGISTER, account_id=ACCOUNT_ID, at=draft.at))

    await new_writer(log, keys).transact(IDENTIFIER, sign_up, SYSTEM)
    (commit,) = await counted_commits(log)
    assert [event.stream for event in commit.commit.events] == [IDENTIFIER, ACCOUNT]
    other = new_writer(log, keys)
    await other.catch_up()
    assert (await other.state(ACCOUNT)).email == "Ada@example.com"
    assert b"Ada" not in b"".join(r.value or b"" for r in await log.read(0, 0, wait_seconds=1))


async def test_an_erased_key_leaves_a_state_without_personal_fields() -> None:
    log, keys = await new_log(), KeyTopic()

    def register(draft: Draft) -> None:
        draft.decide(ACCOUNT, replace(REGISTER, account_id=ACCOUNT_ID))

    await new_writer(log, keys).transact(ACCOUNT, register, SYSTEM)
    keys.erase(ACCOUNT)
    reader = new_writer(log, keys)
    await reader.catch_up()
    assert (await reader.state(ACCOUNT)).email is None
    assert (await reader.state(ACCOUNT)).password.hash is None


async def test_a_refusal_is_given_only_after_the_log_was_read_to_its_end() -> None:
    log, keys = await new_log(), KeyTopic()
    first, second = new_writer(log, keys), new_writer(log, keys)
    await second.catch_up()
    await first.transact(CLIENT, register_client, SYSTEM)
    with pytest.raises(ClientExists):
        await second.transact(CLIENT, register_client, SYSTEM)
    log.is_down = True
    with pytest.raises(UnavailableError):
        await second.transact(CLIENT, register_client, SYSTEM)


async def test_an_answer_without_an_append_sees_what_others_wrote() -> None:
    log, keys = await new_log(), KeyTopic()
    first, second = new_writer(log, keys), new_writer(log, keys)
    await second.catch_up()
    await first.transact(IDENTIFIER, count_failure, SYSTEM)
    done = await second.transact(IDENTIFIER, do_nothing, SYSTEM)
    assert done.position.seq == 1


@pytest.mark.parametrize("fault", ["lose", "lose-answer", "duplicate", "delay"])
async def test_one_fault_neither_loses_nor_doubles_a_command(fault: object) -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    log.faults.append(fault)  # type: ignore[arg-type]  # parametrised by name
    done = await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    log.deliver_delayed(0)
    again = await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    assert [c.position for c in await counted_commits(log)] == [done.position, again.position]
    assert (done.reply, again.reply) == ("0:1", "0:2")


async def test_a_late_original_that_arrives_first_is_the_one_that_counts() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    await writer.catch_up()
    log.faults.append("delay")
    running = asyncio.create_task(writer.transact(IDENTIFIER, count_failure, SYSTEM))
    while log.faults:  # noqa: ASYNC110  # the append itself is what is waited for
        await asyncio.sleep(0)
    log.deliver_delayed(0)
    done = await running
    assert [c.position for c in await counted_commits(log)] == [done.position]


async def test_a_log_that_does_not_answer_in_time_leaves_the_outcome_unknown() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), deadline_seconds=0.3)
    await writer.catch_up()

    def decide_and_break(draft: Draft) -> str:
        log.is_down = True
        return count_failure(draft)

    with pytest.raises(OutcomeUnknownError):
        await writer.transact(IDENTIFIER, decide_and_break, SYSTEM)
    log.is_down = False
    done = await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    assert done.position.seq == 1


async def test_a_log_that_cannot_be_asked_changes_nothing() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), deadline_seconds=0.3)
    log.is_down = True
    with pytest.raises(UnavailableError):
        await writer.transact(IDENTIFIER, count_failure, SYSTEM)


async def test_a_command_that_waits_too_long_for_its_turn_changes_nothing() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), deadline_seconds=0.2)
    await writer.catch_up()

    def dawdle(draft: Draft) -> str:
        time.sleep(0.3)  # a decision that holds the event loop for longer than the next one may wait
        return str(draft.position)

    _, late = await asyncio.gather(
        writer.transact(IDENTIFIER, dawdle, SYSTEM),
        writer.transact(IDENTIFIER, count_failure, SYSTEM),
        return_exceptions=True,
    )
    assert isinstance(late, UnavailableError)
    await writer.close()
    assert await counted_commits(log) == []


async def test_a_caller_that_goes_away_does_not_stop_the_command() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    running = asyncio.create_task(writer.transact(IDENTIFIER, count_failure, SYSTEM))
    await asyncio.sleep(0)
    running.cancel()
    await writer.close()
    assert len(await counted_commits(log)) == 1


async def test_too_many_waiting_commands_are_refused_at_once() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), max_open=3)
    outcomes = await asyncio.gather(
        *(writer.transact(IDENTIFIER, count_failure, SYSTEM) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, OverloadedError) for outcome in outcomes) == 7
    assert len(await counted_commits(log)) == 3


async def test_a_stale_basis_is_reported_only_on_the_newest_state() -> None:
    log, keys = await new_log(), KeyTopic()
    first, second = new_writer(log, keys), new_writer(log, keys)
    await second.catch_up()
    await first.transact(IDENTIFIER, count_failure, SYSTEM)
    seen = []

    def stale(draft: Draft) -> None:
        seen.append(draft.position.seq)
        raise StaleBasisError("test")

    with pytest.raises(StaleBasisError):
        await second.transact(IDENTIFIER, stale, SYSTEM)
    assert seen == [0, 1]


async def test_a_draft_can_be_taken_back() -> None:
    log = await new_log()

    def discard(draft: Draft) -> None:
        draft.decide(IDENTIFIER, PresentCode(matching_account_id=None, limit=1, at=draft.at))
        draft.discard()

    done = await new_writer(log, KeyTopic()).transact(IDENTIFIER, discard, SYSTEM)
    assert done.position.seq == 0


async def test_time_never_runs_backwards_within_a_partition() -> None:
    log, keys = await new_log(), KeyTopic()
    await new_writer(log, keys).transact(IDENTIFIER, count_failure, SYSTEM)
    slow = new_writer(log, keys, clock=lambda: NOON)
    await slow.transact(IDENTIFIER, count_failure, SYSTEM)
    first, second = await counted_commits(log)
    assert first.commit.at == second.commit.at > NOON


async def test_a_log_that_became_shorter_halts() -> None:
    log, keys = await new_log(), KeyTopic()
    writer = new_writer(log, keys)
    await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    del log._records[0][-1]  # noqa: SLF001  # what a broker without its disk would do
    assert await writer.catch_up() == {0: "partition 0, offset 1: the log ends before offset 2, read before"}
    with pytest.raises(CorruptLogError):
        await writer.transact(IDENTIFIER, count_failure, SYSTEM)


async def test_a_log_that_became_shorter_unnoticed_halts_at_the_next_append() -> None:
    """Its acknowledgement lies before what was read: it can chain on nothing that still is there."""
    log, keys = await new_log(), KeyTopic()
    writer = new_writer(log, keys)
    for _ in range(3):
        await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    del log._records[0][-2:]  # noqa: SLF001  # as above
    for _ in range(3):
        with pytest.raises(CorruptLogError):
            await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    assert len(await counted_commits(log)) == 1


async def test_a_halted_partition_leaves_the_others_alone() -> None:
    log, keys = await new_log(2), KeyTopic()
    writer = new_writer(log, keys)
    other = "identifier-" + ("ab" if IDENTIFIER.partition("-")[2].startswith("aa") else "aa") + "x"
    await log.append(partition_of(IDENTIFIER, 2), b"k", b"{not json")
    assert list(await writer.catch_up()) == [partition_of(IDENTIFIER, 2)]

    def count_other(draft: Draft) -> None:
        draft.decide(other, FailUnknownSignIn())

    assert (await writer.transact(other, count_other, SYSTEM)).position.seq == 1
    with pytest.raises(CorruptLogError):
        await writer.transact(IDENTIFIER, count_failure, SYSTEM)


@pytest.mark.parametrize("is_unreadable", [True, False])
async def test_a_stream_of_which_a_halted_partition_read_nothing_is_not_pinned_as_empty(
    is_unreadable: bool,  # noqa: FBT001  # both are tried
) -> None:
    log, keys = await new_log(), KeyTopic()
    if not is_unreadable:
        await new_writer(log, keys).transact(IDENTIFIER, count_failure, SYSTEM)
    await log.append(0, b"k", b"{not json")
    writer = new_writer(log, keys)
    assert list(await writer.catch_up()) == [0]
    if is_unreadable:
        with pytest.raises(CorruptLogError):
            await writer.pin(IDENTIFIER)
        with pytest.raises(CorruptLogError):
            writer.pinned_state(IDENTIFIER)
    else:
        await writer.pin(IDENTIFIER)
        assert writer.pinned_state(IDENTIFIER) == Identifier()


async def test_a_partition_without_genesis_takes_no_commands() -> None:
    with pytest.raises(UnavailableError):
        await new_writer(MemoryLog(1), KeyTopic()).transact(IDENTIFIER, count_failure, SYSTEM)


async def test_a_decision_that_has_nothing_left_to_do_is_not_believed_while_what_was_sent_may_still_count() -> (
    None
):
    """Time ran out between two decisions of one command, and the first one's record comes late."""
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    await writer.catch_up()
    log.faults.append("delay")
    in_time = [None]

    def decide(draft: Draft) -> str:
        if draft.state(IDENTIFIER) and not in_time:
            return "too late"
        in_time.pop()
        return count_failure(draft)

    deciding = asyncio.create_task(writer.transact(IDENTIFIER, decide, SYSTEM))
    await asyncio.sleep(0.02)
    log.deliver_delayed(0)
    done = await deciding
    assert (done.reply, len(await counted_commits(log))) == ("0:1", 1)


async def test_void_records_are_counted() -> None:
    log, keys = await new_log(), KeyTopic()
    writer = new_writer(log, keys)
    log.faults.append("duplicate")
    await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    assert writer.void_records == 1
    assert now() > NOON


async def test_what_followed_a_lost_commit_is_decided_again_in_its_old_order() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic())
    await writer.transact(IDENTIFIER, count_failure, SYSTEM)
    log.faults.extend([None, "lose", None, None, None])
    outcomes = await asyncio.gather(*(writer.transact(IDENTIFIER, count_failure, SYSTEM) for _ in range(5)))
    assert [done.position.seq for done in outcomes] == [2, 3, 4, 5, 6]
    assert [done.reply for done in outcomes] == [f"0:{seq}" for seq in range(2, 7)]
    assert len(await counted_commits(log)) == 6
    assert writer.void_records >= 1


async def test_a_commit_is_sent_before_the_one_before_it_is_acknowledged() -> None:
    class Slow(MemoryLog):
        """Acknowledges only when it was handed three records."""

        async def send(self, partition: int, key: bytes, value: bytes) -> "asyncio.Future[int]":
            acknowledged = asyncio.get_running_loop().create_future()
            held.append((acknowledged, await (await super().send(partition, key, value))))
            if len(held) == 3:
                for answer, offset in held:
                    answer.set_result(offset)
            return acknowledged

    held: list[tuple[asyncio.Future[int], int]] = []
    plain = await new_log()
    log = Slow(1)
    log._records = plain._records  # noqa: SLF001  # the genesis of another
    writer = new_writer(log, KeyTopic())
    outcomes = await asyncio.gather(*(writer.transact(IDENTIFIER, count_failure, SYSTEM) for _ in range(3)))
    assert [done.position.seq for done in outcomes] == [1, 2, 3]


async def test_the_stream_with_the_most_commands_makes_room_for_another() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), max_open=4)
    greedy = [asyncio.create_task(writer.transact(IDENTIFIER, count_failure, SYSTEM)) for _ in range(4)]
    await asyncio.sleep(0)
    modest = await writer.transact(CLIENT, register_client, SYSTEM)
    outcomes = await asyncio.gather(*greedy, return_exceptions=True)
    assert [isinstance(outcome, OverloadedError) for outcome in outcomes] == [False, False, False, True]
    assert modest.reply.startswith("registered")


async def test_commands_whose_callers_went_away_make_room_once_their_time_is_over() -> None:
    log = await new_log()
    writer = new_writer(log, KeyTopic(), deadline_seconds=0.2, max_open=3)
    await writer.catch_up()

    def decide_and_break(draft: Draft) -> str:
        log.is_down = True
        return count_failure(draft)

    abandoned = [asyncio.create_task(writer.transact(IDENTIFIER, decide_and_break, SYSTEM)) for _ in range(3)]
    await asyncio.sleep(0)
    for caller in abandoned:
        caller.cancel()
    await asyncio.sleep(0.4)  # their deadline, and the lane's next try
    log.is_down = False
    assert (await writer.transact(IDENTIFIER, count_failure, SYSTEM)).position.seq >= 1
    assert not writer._lanes[0].outcomes  # noqa: SLF001  # what `close` would wait for
