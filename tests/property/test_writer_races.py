"""Several writers, one partition, any faults: nothing acknowledged is lost, nothing counts twice."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.identifier import FailUnknownSignIn
from eventstore.commit import Actor
from eventstore.writer import Draft, Origin
from tests.support.memory_keys import KeyTopic
from tests.support.writers import IDENTIFIER, counted_commits, new_log, new_writer

FAULTS = st.lists(st.sampled_from([None, "lose", "lose-answer", "duplicate", "delay"]), max_size=30)


@settings(max_examples=150, deadline=None)
@given(faults=FAULTS, writers=st.integers(1, 3), commands=st.integers(1, 6))
def test_racing_writers_lose_and_double_nothing(faults: list[object], writers: int, commands: int) -> None:
    asyncio.run(_race(faults, writers, commands))


async def _race(faults: list[object], writers: int, commands: int) -> None:
    log, keys = await new_log(), KeyTopic()
    log.faults.extend(faults)  # type: ignore[arg-type]  # sampled from the names of faults
    racing = [new_writer(log, keys) for _ in range(writers)]

    def decide(draft: Draft) -> str:
        draft.decide(IDENTIFIER, FailUnknownSignIn())
        return str(draft.position)

    async def command(number: int) -> tuple[str, str]:
        origin = Origin(actor=Actor(kind="system"), commit_id=f"command-{number}")
        done = await racing[number % writers].transact(IDENTIFIER, decide, origin)
        assert str(done.position) == done.reply
        return f"command-{number}", done.reply

    acknowledged = dict(await asyncio.gather(*(command(n) for n in range(commands * writers))))
    log.deliver_delayed(0)
    counted = await counted_commits(log)
    assert Counter(c.commit.commit for c in counted) == Counter(acknowledged.keys())
    assert {c.commit.commit: str(c.position) for c in counted} == acknowledged
