"""The headers of a public record: what the relay writes it can read again, and nothing else is taken for its own."""

from dataclasses import replace

import pytest

from events.public.envelope import (
    HEADERS,
    OPTIONAL_HEADERS,
    Bookmark,
    Envelope,
    Place,
    parse_place,
    render,
)
from tests.support.chains import AT, LOG_ID

HEAD = Bookmark(offset=41, hash="q-hash_")
ENVELOPE = Envelope(
    log_id=LOG_ID,
    partition=3,
    seq=17,
    number=2,
    sequence=40,
    type="chancery.session.started.v1",
    dataschema="urn:chancery:schema:session.started.v1",
    subject="aaid",
    at=AT,
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    head=HEAD,
)


def test_headers_are_a_cloud_event_in_binary_mode() -> None:
    assert {name: value.decode() for name, value in render(ENVELOPE)} == {
        "ce_specversion": "1.0",
        "ce_id": "3:17:2",
        "ce_source": f"urn:chancery:log:{LOG_ID}",
        "ce_type": "chancery.session.started.v1",
        "ce_subject": "aaid",
        "ce_time": "2026-01-31T12:00:00Z",
        "ce_dataschema": "urn:chancery:schema:session.started.v1",
        "ce_position": "3:17",
        "ce_partitionkey": "aaid",
        "ce_sequence": "00000000000000000040",
        "content-type": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "chancery_head": "41:q-hash_",
    }


def test_every_header_is_documented_and_a_command_without_trace_leaves_one_out() -> None:
    assert [name for name, _ in render(ENVELOPE)] == list(HEADERS)
    untraced = [name for name, _ in render(replace(ENVELOPE, trace=""))]
    assert set(HEADERS) - set(untraced) == OPTIONAL_HEADERS


def test_sequences_sort_as_text() -> None:
    numbers = [1, 9, 10, 99, 100, 2**64 - 1]
    texts = [dict(render(replace(ENVELOPE, sequence=number)))["ce_sequence"] for number in numbers]
    assert texts == sorted(texts)


def test_what_was_written_is_read_again() -> None:
    expected = Place(seq=17, number=2, sequence=40, source=f"urn:chancery:log:{LOG_ID}", head=HEAD)
    assert parse_place(3, render(ENVELOPE)) == expected
    assert expected.order == (17, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_id", b"4:17:2"),
        ("ce_id", b"3:17"),
        ("ce_id", b"3:x:2"),
        ("ce_sequence", b"many"),
        ("ce_id", b"\xff"),
        ("chancery_head", b"41"),
        ("chancery_head", b"x:hash"),
    ],
)
def test_a_record_of_somebody_else_is_none_of_the_relays(name: str, value: bytes) -> None:
    headers = {**dict(render(ENVELOPE)), name: value}
    assert parse_place(3, tuple(headers.items())) is None


@pytest.mark.parametrize("name", ["ce_id", "ce_sequence", "ce_source", "chancery_head"])
def test_a_record_without_one_of_these_headers_is_none_of_the_relays(name: str) -> None:
    headers = dict(render(ENVELOPE))
    del headers[name]
    assert parse_place(3, tuple(headers.items())) is None
