"""Codes: eight digits that only the server can derive, for one challenge each."""

from collections import Counter

import pytest

from runtime.codes import is_code, matches_code, verification_code

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def test_a_code_is_eight_digits_and_always_the_same() -> None:
    code = verification_code(KEY, "challenge-1")
    assert is_code(code)
    assert verification_code(KEY, "challenge-1") == code


def test_codes_keep_their_leading_zeros_and_are_spread_evenly() -> None:
    first = Counter(verification_code(KEY, f"challenge-{number}")[0] for number in range(2000))
    assert set(first) == set("0123456789")
    assert min(first.values()) > 130


def test_another_challenge_or_another_key_has_another_code() -> None:
    codes = {verification_code(key, c) for key in (KEY, OTHER_KEY) for c in ("challenge-1", "challenge-2")}
    assert len(codes) == 4


def test_only_its_own_code_matches_a_challenge() -> None:
    code = verification_code(KEY, "challenge-1")
    assert matches_code(KEY, "challenge-1", code)
    assert not matches_code(KEY, "challenge-2", code)
    assert not matches_code(OTHER_KEY, "challenge-1", code)
    wrong = ("", code[:-1], code + "0", f" {code}", "é" * 8, "00000000")
    assert [text for text in wrong if matches_code(KEY, "challenge-1", text)] == []


@pytest.mark.parametrize(
    "text", ["", "1234567", "123456789", "1234567a", "１２３４５６７８", "²³456789", "-1234567", "1234567\n"]
)
def test_anything_but_eight_ascii_digits_is_no_code(text: str) -> None:
    assert not is_code(text)
