"""Which CBOR is looked at at all: that of CTAP2, with one spelling for each value."""

import time

import cbor2
import pytest

from runtime.plain_cbor import MAX_DEPTH, end_of_item

PLAIN = [
    0,
    23,
    24,
    255,
    256,
    65_536,
    2**32,
    2**64 - 1,
    -1,
    -257,
    b"",
    b"x" * 300,
    "text",
    [],
    [1, [2]],
    {},
    None,
]
PLAIN += [True, False, {"a": {"b": [1]}}, {1: 2, 3: -7}]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_the_end_of_a_plain_item_is_found_whatever_follows(value: object) -> None:
    item = cbor2.dumps(value)
    assert end_of_item(item) == len(item)
    assert end_of_item(b"\xff" + item + b"\xff", 1) == len(item) + 1
    assert end_of_item(item[:-1]) is None


@pytest.mark.parametrize(
    "item",
    [
        "1817", "190017", "1a00000017", "1b0000000000000017",  # 23, longer than it need be
        "580161", "9801f6", "b80100f6",  # lengths, longer than they need be
        "5f6161ff", "7f6161ff", "9f01ff", "bf0101ff", "ff",  # indefinite lengths
        "c001", "c249010000000000000000", "d81c81d81d00", "d9010081f6", "d82360", "d9d9f700", "d4", "d5",  # tags
        "f7", "f800", "f820", "f8ff", "e0", "f3", "f93c00", "fa3f800000", "fb3ff0000000000000",  # other simple values, floats
        "1c", "1d", "1e", "1f", "fc", "fd", "fe",  # reserved
        "18", "19ff", "5b7fffffffffffffff", "9b7fffffffffffffff", "bb8000000000000000", "", "a101", "8201",  # cut short
    ],
)  # fmt: skip
def test_abuse_f5_other_items_are_none(item: str) -> None:
    assert end_of_item(bytes.fromhex(item)) is None


def test_abuse_f5_nesting_ends_at_four_levels() -> None:
    assert end_of_item(b"\x81" * MAX_DEPTH + b"\x00") == MAX_DEPTH + 1
    assert end_of_item(b"\x81" * (MAX_DEPTH + 1) + b"\x00") is None
    assert end_of_item(b"\xa1\x00" * (MAX_DEPTH + 1) + b"\x00") is None
    assert end_of_item(b"\x81\x00", depth_left=0) is None
    assert end_of_item(b"\x81" * 1_000_000) is None


def test_abuse_f5_the_work_is_bounded_by_the_bytes_that_are_there() -> None:
    began = time.process_time()
    assert end_of_item(b"\x9a\xff\xff\xff\xff" + b"\x00" * 8192) is None
    assert end_of_item(b"\x99\x20\x00" + b"\x80" * 8192) == 8195
    assert time.process_time() - began < 0.5
