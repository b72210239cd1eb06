"""Refresh tokens and session ids: they prove where they come from, and a changed one proves nothing."""

from dataclasses import replace

import pytest

from events.streams import new_id
from runtime.encoding import base64url, parse_base32, parse_base64url
from runtime.keys import keyed_digest
from runtime.refresh_token import (
    RefreshToken,
    is_own_session_id,
    new_session_id,
    parse_refresh_token,
    render_refresh_token,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
ACCOUNT_ID = new_id()
TOKEN = RefreshToken(account_id=ACCOUNT_ID, session_id=new_session_id(KEY, ACCOUNT_ID), generation=7)
TEXT = render_refresh_token(KEY, TOKEN)


@pytest.mark.parametrize("generation", [1, 2, 2**32 - 1])
def test_a_token_names_account_session_and_generation(generation: int) -> None:
    token = replace(TOKEN, generation=generation)
    assert parse_refresh_token(KEY, render_refresh_token(KEY, token)) == token


def test_the_same_generation_always_has_the_same_token() -> None:
    assert render_refresh_token(KEY, TOKEN) == TEXT
    assert render_refresh_token(KEY, replace(TOKEN, generation=8)) != TEXT


def test_a_token_made_with_another_key_is_none() -> None:
    assert parse_refresh_token(OTHER_KEY, TEXT) is None


def test_a_flipped_bit_anywhere_makes_it_none() -> None:
    raw = parse_base64url(TEXT.removeprefix("crt_"))
    assert raw is not None
    assert len(raw) == 68
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        assert parse_refresh_token(KEY, "crt_" + base64url(bytes(changed))) is None


def test_a_token_of_another_length_is_none_even_with_a_good_mac() -> None:
    for named in (b"", bytes(35), bytes(37)):
        assert parse_refresh_token(KEY, "crt_" + base64url(named + keyed_digest(KEY, named))) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crt_",
        TEXT.removeprefix("crt_"),
        TEXT.replace("crt_", "CRT_"),
        "crt_" + TEXT,
        TEXT + "=",
        TEXT[:-1],
        TEXT + "A",
        f" {TEXT}",
        f"{TEXT}\n",
        "crt_é",
        "crt_\ud800",
        "crt_" + "A" * 100_000,
    ],
)
def test_abuse_a9_another_spelling_is_none(text: str) -> None:
    assert parse_refresh_token(KEY, text) is None


def test_a_session_id_is_known_as_its_accounts_own_and_nobody_elses() -> None:
    made = new_session_id(KEY, ACCOUNT_ID)
    assert is_own_session_id(KEY, ACCOUNT_ID, made)
    assert not is_own_session_id(KEY, new_id(), made)
    assert not is_own_session_id(OTHER_KEY, ACCOUNT_ID, made)


def test_session_ids_are_never_the_same() -> None:
    assert len({new_session_id(KEY, ACCOUNT_ID) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text", ["", "a", "a" * 26, TOKEN.session_id.upper(), TOKEN.session_id + "a", "é" * 26]
)
def test_a_made_up_session_id_is_nobodys(text: str) -> None:
    assert not is_own_session_id(KEY, ACCOUNT_ID, text)


def test_a_session_id_has_the_form_of_every_id() -> None:
    raw = parse_base32(TOKEN.session_id)
    assert raw is not None
    assert (len(raw), len(TOKEN.session_id)) == (16, 26)


@pytest.mark.parametrize("text", ["AA", "aa======", "a", "ab1", "ab", "é", "\ud800"])
def test_base32_has_one_spelling(text: str) -> None:
    assert parse_base32(text) is None
