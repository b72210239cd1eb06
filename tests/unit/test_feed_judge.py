"""The judge of the public feed sees every way in which a feed can be wrong, and lets a good one pass."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from events.account import ProfileChanged
from eventstore.commit import Position
from tests.support.feed import (
    IDENTITY,
    PublicRecord,
    expected_feed,
    feed_faults,
    first_occurrences,
    repeated,
)
from tests.support.memory_keys import KeyTopic
from tests.support.people import account_id_in, registered, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.writers import counted_commits, new_log

Records = list[PublicRecord]
Told = list[tuple[str, ...]]


@pytest.fixture
async def told() -> Told:
    log = await new_log()
    scribe, account_id = Scribe(log, KeyTopic().keyring()), account_id_in(0)
    await scribe.write(stream_of(account_id), registered(account_id), session_of(account_id))
    assert await scribe.write(stream_of(account_id), ProfileChanged()) == Position(partition=0, seq=2)
    return list(expected_feed(await counted_commits(log))[0])


def records_of(told: Told) -> Records:
    return [
        PublicRecord(
            partition=0, key=key, value=value.encode(), headers=dict(zip(IDENTITY, rest, strict=True))
        )
        for key, value, *rest in told
    ]


def test_a_feed_that_tells_everything_in_order_passes(told: Told) -> None:
    records = records_of(told)
    assert len(records) == 3
    assert feed_faults({0: told}, {0: records, 1: []}) == []


def test_repetitions_of_what_was_said_pass(told: Told) -> None:
    one, two, three = records_of(told)
    feed = {0: [one, two, one, two, three, two]}
    assert feed_faults({0: told}, feed) == []
    assert repeated(feed) == 3
    assert first_occurrences(feed[0]) == [one, two, three]


BUGS: dict[str, Callable[[Records], Records]] = {
    "an event is missing": lambda r: [r[0], r[2]],
    "the last event is missing": lambda r: r[:2],
    "two events change places": lambda r: [r[1], r[0], r[2]],
    "a repetition says something else": lambda r: [*r, replace(r[0], value=b"{}")],
    "a repetition has another number": lambda r: [
        *r,
        replace(r[0], headers={**r[0].headers, "ce_sequence": "00000000000000000009"}),
    ],
    "an event is invented": lambda r: [*r, replace(r[2], headers={**r[2].headers, "ce_id": "0:9:0"})],
    "an event says something else": lambda r: [replace(r[0], value=b"{}"), *r[1:]],
    "an event has another key": lambda r: [replace(r[0], key="somebody"), *r[1:]],
    "numbers begin elsewhere": lambda r: [
        replace(one, headers={**one.headers, "ce_sequence": f"{n:020}"}) for n, one in enumerate(r)
    ],
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_feed_with_a_bug_is_seen(told: Told, bug: Callable[[Records], Records]) -> None:
    assert feed_faults({0: told}, {0: bug(records_of(told))}) != []
