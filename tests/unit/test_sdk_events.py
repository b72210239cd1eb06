"""What is an event of the feed, and what is none, whoever wrote it."""

import pytest

from chancery_sdk.events import Record, parse_event
from chancery_sdk.testing import MemoryFeed
from events.public.envelope import parse_place


def told() -> Record:
    return MemoryFeed().tell("chancery.account.verified.v1", {"account_id": "a"})


def test_an_event_says_where_it_stands() -> None:
    event = parse_event(told())
    assert event is not None
    assert (event.id, event.position, event.sequence, event.subject) == ("0:1:0", "0:1", 1, "a")


@pytest.mark.parametrize(
    "name", ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_sequence", "ce_time"]
)
@pytest.mark.parametrize("value", [b"\xff", b"nonsense", None])
def test_a_record_with_other_headers_is_none(name: str, value: bytes | None) -> None:
    """A header may also be there without a value."""
    record = told()
    headers = tuple((one, value if one == name else text) for one, text in record.headers)
    if value == b"nonsense" and name in ("ce_source", "ce_type"):
        return
    changed = Record(partition=0, offset=0, value=record.value, headers=headers)  # type: ignore[arg-type]
    assert parse_event(changed) is None
    assert parse_place(0, headers) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_record_with_another_value_is_none(value: bytes | None) -> None:
    assert parse_event(Record(partition=0, offset=0, value=value, headers=told().headers)) is None


def test_an_event_of_another_partition_is_none_here() -> None:
    record = told()
    assert parse_event(Record(partition=1, offset=0, value=record.value, headers=record.headers)) is None
