"""Strict JSON: one reading or none."""

import json
from typing import Any

import pytest

from runtime.strict_json import MAX_DEPTH, StrictJsonError, parse_strict


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b" [1, 2.5, -0, true, null] ", [1, 2.5, 0, True, None]),
        ('"é🔑"'.encode(), "é🔑"),
        (b'"\\ud83d\\udd11"', "🔑"),
        (b'{"a": {"a": 1}, "b": {"a": 1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b"1e308", 1e308),
        (b'{"": ""}', {"": ""}),
    ],
)
def test_json_is_read_as_json(body: bytes, value: Any) -> None:
    assert parse_strict(body) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b"[1] 2", "not valid JSON"),
        (b"01", "not valid JSON"),
        (b'"a\nb"', "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ("{}".encode("utf-16-le"), "not valid JSON"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b'{"a": 1, "a": 1}', "a member name occurs twice"),
        (b'{"a": 1, "\\u0061": 2}', "a member name occurs twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "a member name occurs twice"),
        (b"NaN", "NaN and Infinity are not JSON"),
        (b'{"a": [Infinity]}', "NaN and Infinity are not JSON"),
        (b"-Infinity", "NaN and Infinity are not JSON"),
        (b"1e400", "a number is too large"),
        (b"-1e400", "a number is too large"),
        (b'"a\\u0000"', "a NUL character"),
        (b'{"\\u0000": 1}', "a NUL character"),
        (b'["\\ud800"]', "a lone surrogate"),
        (b'{"\\udc00": 1}', "a lone surrogate"),
        (b'"\\ud800\\ud800"', "a lone surrogate"),
    ],
    ids=range(28),
)
def test_abuse_j1_what_parsers_read_differently_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(StrictJsonError) as refused:
        parse_strict(body)
    assert str(refused.value) == reason


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_abuse_j1_nesting_ends_somewhere(opening: str, closing: str) -> None:
    deepest = f"{opening * MAX_DEPTH}1{closing * MAX_DEPTH}".encode()
    assert parse_strict(deepest) == json.loads(deepest)
    with pytest.raises(StrictJsonError, match="nested too deeply"):
        parse_strict(f"{opening}{deepest.decode()}{closing}".encode())


def test_a_refusal_never_repeats_what_was_sent() -> None:
    for body in (b'{"password": "hunter2hunter2"', b'{"hunter2hunter2": 1, "hunter2hunter2": 2}'):
        with pytest.raises(StrictJsonError) as refused:
            parse_strict(body)
        assert "hunter2" not in str(refused.value)
        assert refused.value.__cause__ is None
