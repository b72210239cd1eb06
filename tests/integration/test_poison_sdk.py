"""Every kind of poison in the public topic before a subscriber: what takes no event's place is passed over, the rest halts.

A number is an event's place. Where a record has spoiled one, the next event shows that it is missing.
"""

from dataclasses import dataclass, field

import pytest

from chancery_sdk.subscriber import GapError, WrongLogError
from chancery_sdk.testing import MemoryFeed
from tests.support.desk import VERIFIED, Desk, at_work, desk, failure, tell
from tests.support.poisons import MARK, MEGABYTE

__all__ = ["desk"]

GOOD = b'{"account_id":"spoiled"}'


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """What is wrong with the third event of partition 0: its value, and headers that are replaced, or taken away by "-"."""

    value: bytes | None = GOOD
    headers: dict[str, str] = field(default_factory=dict)


POISONS = {
    "bad JSON": Spoiled(value=b'{"account_id":' + MARK.encode()),
    "other JSON": Spoiled(value=b"[1]"),
    "empty": Spoiled(value=b""),
    "null": Spoiled(value=None),
    "not UTF-8": Spoiled(value=b'{"account_id":"\xff"}'),
    "1 MB": Spoiled(value=MARK.encode() * (MEGABYTE // len(MARK))),
    "1 MB of nesting": Spoiled(value=b"[" * MEGABYTE),
    "no headers": Spoiled(headers=dict.fromkeys(("ce_id", "ce_type", "ce_specversion", "ce_sequence"), "-")),
    "another format": Spoiled(headers={"ce_specversion": "2.0"}),
    "no number": Spoiled(headers={"ce_sequence": MARK}),
    "no time": Spoiled(headers={"ce_time": MARK}),
    "wrong partition": Spoiled(headers={"ce_id": "1:3:0"}),
}
UNKNOWN = Spoiled(headers={"ce_type": "chancery.session.unheard_of.v1"})


def store(desk: Desk, spoiled: Spoiled) -> None:
    twin = MemoryFeed(2)
    headers = [{name: text.decode() for name, text in twin.tell(VERIFIED, {}).headers} for _ in range(3)][2]
    changed = {name: text for name, text in {**headers, **spoiled.headers}.items() if text != "-"}
    desk.feed.store(0, spoiled.value, changed)


async def halts(desk: Desk, error: type[Exception], reason: str) -> None:
    """After what was before, with this reason; another process goes on with the other partition."""
    tell(desk, "x", partition=1)
    raised = await failure(desk.subscriber())
    assert isinstance(raised, error)
    assert str(raised).startswith(reason)
    assert MARK not in str(raised)
    tell(desk, "y", partition=1)
    async with at_work(desk.subscriber(partitions=[1])):
        await desk.until_noted("a", "b", "x", "y")


@pytest.mark.parametrize("kind", POISONS)
async def test_a_spoiled_event_halts_its_partition(desk: Desk, kind: str) -> None:
    tell(desk, "a", "b")
    store(desk, POISONS[kind])
    desk.feed.skip()
    tell(desk, "c")
    await halts(desk, GapError, "partition 0, event 0:4:0 is number 4, and the last one was 2")


async def test_what_spoils_no_event_is_passed_over(desk: Desk) -> None:
    tell(desk, "a", "b")
    for spoiled in POISONS.values():
        store(desk, spoiled)
    tell(desk, "c")
    tell(desk, "x", partition=1)
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "c", "x")
    print(f"poison: {len(POISONS)} kinds before a subscriber")  # noqa: T201  # the number of trials, for whoever runs it with -s
    assert len(POISONS) == 12


async def test_an_event_of_an_unknown_type_has_its_place_and_no_handler(desk: Desk) -> None:
    tell(desk, "a", "b")
    store(desk, UNKNOWN)
    desk.feed.skip()
    tell(desk, "c")
    async with at_work(desk.subscriber()):
        await desk.until_noted("a", "b", "c")


async def test_an_event_of_a_foreign_log_halts(desk: Desk) -> None:
    tell(desk, "a", "b")
    store(desk, Spoiled(headers={"ce_source": "urn:chancery:log:another"}))
    tell(desk, "c")
    await halts(desk, WrongLogError, "partition 0, event 0:3:0 is of urn:chancery:log:another")
