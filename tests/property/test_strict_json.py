"""Strict JSON under random input: a value that `json` would give, or its one error."""

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from runtime.strict_json import StrictJsonError, parse_strict

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=25,
)
SPLINTERS = st.sampled_from(
    [
        *b'{}[]:,"\\',
        b"NaN",
        b"1e999",
        b"\\ud800",
        b"\\u0000",
        b'"a":',
        b"\xef\xbb\xbf",
        b"true",
        b"-",
        b" ",
        b"\xff",
    ]
).map(lambda one: bytes([one]) if isinstance(one, int) else one)


@given(value=PLAIN)
def test_plain_values_are_accepted_and_stay_what_they_are(value: Any) -> None:
    for ensure_ascii in (True, False):
        assert parse_strict(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == value


@given(
    body=st.binary()
    | st.lists(SPLINTERS).map(b"".join)
    | st.text().map(lambda text: json.dumps(text).encode())
)
@example(body=b"[" * 10_000)
@example(body=b"9" * 10_000)
def test_any_bytes_give_jsons_own_value_or_the_one_error(body: bytes) -> None:
    try:
        value = parse_strict(body)
    except StrictJsonError:
        return
    assert value == json.loads(body.decode())
    assert not isinstance(value, float) or math.isfinite(value)
