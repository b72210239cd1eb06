"""Several writers with almost no memory, one partition and one write model, any faults and any saves between.

Each command adds to its stream and answers with how many it saw, so a state that was lost, doubled or taken from
another time shows in an answer.
"""

import asyncio
import random
from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.aggregates import AGGREGATES
from domain.identifier import PresentCode, Reserve
from events.streams import account_stream, identifier_stream
from eventstore.commit import Actor
from eventstore.memory_log import MemoryLog
from eventstore.snapshots import MemorySnapshots
from eventstore.writer import Draft, Origin, Writer
from tests.support.examples import MINUTE
from tests.support.memory_keys import KeyTopic
from tests.support.writers import ACCOUNT_ID, counted_commits, new_log, new_writer

FAULTS = st.lists(st.sampled_from([None, None, "lose", "lose-answer", "duplicate", "delay"]), max_size=30)
STREAMS = [identifier_stream(bytes([0, 0, 0, number, *bytes(28)])) for number in range(4)]


@settings(max_examples=300, deadline=None)
@given(faults=FAULTS, writers=st.integers(1, 3), seed=st.integers(0, 10_000))
@example(faults=["delay", "lose"], writers=1, seed=0)
def test_writers_that_forget_and_save_at_any_time_still_count_right(
    faults: list[object], writers: int, seed: int
) -> None:
    asyncio.run(_race(faults, writers, random.Random(seed)))


async def _race(faults: list[object], writers: int, chance: random.Random) -> None:
    log, keys, snapshots = await new_log(), KeyTopic(), MemorySnapshots()
    log.faults.extend(faults)  # type: ignore[arg-type]  # sampled from the names of faults
    racing = [new_writer(log, keys, snapshots=snapshots, cache_bytes=1) for _ in range(writers)]

    async def command(number: int) -> tuple[str, str, int, str]:
        stream = chance.choice(STREAMS)
        origin = Origin(actor=Actor(kind="system"), commit_id=f"command-{number}")
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        done = await racing[number % writers].transact(stream, lambda draft: _count(draft, stream), origin)
        return origin.commit_id or "", stream, done.reply, str(done.position)

    async def save(writer: Writer) -> None:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
            if chance.random() < 0.3:
                await writer.save()

    outcomes = await asyncio.gather(*(command(n) for n in range(12)), *(save(writer) for writer in racing))
    log.deliver_delayed(0)
    acknowledged = [outcome for outcome in outcomes if outcome is not None]
    await _judge(log, acknowledged)
    await _compare(log, keys, racing)


def _count(draft: Draft, stream: str) -> int:
    """Reserve once, then let codes fail: the answer is how many failures the stream had before."""
    if not draft.state(stream).waiting:
        draft.decide(
            stream,
            Reserve(account_id=ACCOUNT_ID, challenge_id="c", code_expires_at=draft.at + MINUTE, limit=5),
        )
    (reservation,) = draft.state(stream).waiting
    draft.decide(stream, PresentCode(matching_account_id=None, limit=1000, at=draft.at))
    return int(reservation.failures)


async def _judge(log: MemoryLog, acknowledged: list[tuple[str, str, int, str]]) -> None:
    counted = await counted_commits(log)
    assert Counter(c.commit.commit for c in counted) == Counter(name for name, *_ in acknowledged)
    answers = {name: (stream, reply, position) for name, stream, reply, position in acknowledged}
    seen: Counter[str] = Counter()
    for commit in counted:
        stream, reply, position = answers[commit.commit.commit]
        assert (reply, position) == (seen[stream], str(commit.position))
        seen[stream] += 1


async def _compare(log: MemoryLog, keys: KeyTopic, writers: list[Writer]) -> None:
    """Every writer, however it came by its states, agrees with one that folds the whole log."""
    judge = new_writer(log, keys)
    await judge.catch_up()
    for writer in writers:
        await writer.catch_up()
        for stream in [*STREAMS, account_stream(ACCOUNT_ID)]:
            assert await writer.state(stream) == await judge.state(stream)
            assert stream.partition("-")[0] in AGGREGATES
        await writer.close()
    await judge.close()
