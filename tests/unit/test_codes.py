"""Codes: eight digits that only the server can derive, for one challenge of one purpose each."""

from collections import Counter

import pytest

from events.streams import new_id
from runtime.account_code import UNDO, AccountCode, parse_account_code
from runtime.codes import MailedCodes, is_code, mailed_code, matches_code
from runtime.keys import derive_keys

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def test_a_code_is_eight_digits_and_always_the_same() -> None:
    code = mailed_code(KEY, "verify-email", "challenge-1")
    assert is_code(code)
    assert mailed_code(KEY, "verify-email", "challenge-1") == code


def test_codes_keep_their_leading_zeros_and_are_spread_evenly() -> None:
    first = Counter(mailed_code(KEY, "verify-email", f"challenge-{number}")[0] for number in range(2000))
    assert set(first) == set("0123456789")
    assert min(first.values()) > 130


def test_another_challenge_or_another_key_has_another_code() -> None:
    codes = {
        mailed_code(key, "verify-email", c)
        for key in (KEY, OTHER_KEY)
        for c in ("challenge-1", "challenge-2")
    }
    assert len(codes) == 4


def test_only_its_own_code_matches_a_challenge() -> None:
    code = mailed_code(KEY, "verify-email", "challenge-1")
    assert matches_code(KEY, "verify-email", "challenge-1", code)
    assert not matches_code(KEY, "verify-email", "challenge-2", code)
    assert not matches_code(OTHER_KEY, "verify-email", "challenge-1", code)
    wrong = ("", code[:-1], code + "0", f" {code}", "é" * 8, "00000000")
    assert [text for text in wrong if matches_code(KEY, "verify-email", "challenge-1", text)] == []


@pytest.mark.parametrize(
    "text", ["", "1234567", "123456789", "1234567a", "１２３４５６７８", "²³456789", "-1234567", "1234567\n"]
)
def test_anything_but_eight_ascii_digits_is_no_code(text: str) -> None:
    assert not is_code(text)


def test_a_code_for_one_purpose_is_none_for_another() -> None:
    keys = derive_keys(KEY)
    codes = MailedCodes(keys)
    made = {codes.verification("c"), codes.password_reset("c"), codes.email_change("c")}
    assert len(made) == 3
    assert matches_code(keys.code_key, "reset-password", "c", codes.password_reset("c"))
    assert not matches_code(keys.code_key, "verify-email", "c", codes.password_reset("c"))


def test_the_code_that_undoes_names_its_account_and_its_change() -> None:
    keys, account_id, change_id = derive_keys(KEY), new_id(), new_id()
    code = MailedCodes(keys).undo(account_id, change_id)
    assert parse_account_code(UNDO, keys.undo_key, code) == AccountCode(
        account_id=account_id, subject_id=change_id
    )


def test_abuse_a9_a_changed_or_respelled_undo_code_is_none() -> None:
    keys = derive_keys(KEY)
    code = MailedCodes(keys).undo(new_id(), new_id())
    assert len(code) == 68
    changed = [code[:n] + ("A" if code[n] != "A" else "B") + code[n + 1 :] for n in range(len(code))]
    respelled = ["", "cuc_", code[4:], code + "=", code[:-1], code + "A", " " + code, code + "\n", "cuc_é"]
    assert [text for text in (*changed, *respelled) if parse_account_code(UNDO, keys.undo_key, text)] == []
    assert parse_account_code(UNDO, derive_keys(OTHER_KEY).undo_key, code) is None
