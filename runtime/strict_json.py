"""JSON as RFC 8259 and I-JSON (RFC 7493) mean it: UTF-8, no NaN, no lone surrogates, no member twice."""

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32


class StrictJsonError(ValueError):
    """Not JSON, or JSON that two parsers could read differently."""


def parse_strict(body: bytes) -> Any:
    """The value of `body`; StrictJsonError says what is wrong without repeating it."""
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except StrictJsonError:
        raise
    except UnicodeDecodeError:
        raise StrictJsonError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise StrictJsonError("not valid JSON") from None
    if b"\\u" in body or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check(value, MAX_DEPTH)  # only an escape can hide a surrogate or NUL, and only brackets nest
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a member name occurs twice")
    return members


def _constant(_: str) -> NoReturn:
    raise StrictJsonError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJsonError("a number is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant, parse_float=_finite)


def _check(value: Any, depth_left: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth_left == 0:
            raise StrictJsonError("nested too deeply")
        for child in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
            _check(child, depth_left - 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise StrictJsonError("a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a lone surrogate") from None
