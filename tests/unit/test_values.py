"""E-mail addresses, passwords, names and scopes as values."""

import pytest

from command_api.email_address import EmailAddress
from domain import refusals as r
from domain.refusals import Refusal
from domain.values import (
    parse_audiences,
    parse_client_name,
    parse_client_scopes,
    parse_display_name,
    parse_password,
    parse_scope,
)

GOOD = "a sentence nobody guesses"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ſam@example.com", "sam@example.com"),
        ("K@example.com", "k@example.com"),
        ("a@exämple.com", "a@xn--exmple-cua.com"),
        ("a@xn--exmple-cua.com", "a@xn--exmple-cua.com"),
        ("a@ｅxample.com", "a@example.com"),
        ("a+tag@example.com", "a+tag@example.com"),
        ("mıke@example.com", "mıke@example.com"),
    ],
)
def test_abuse_g1_g3_addresses_are_compared_in_one_form_and_kept_as_written(
    text: str, canonical: str
) -> None:
    assert EmailAddress.parse(text) == EmailAddress(stored=text, canonical=canonical)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a b@example.com",
        "a..b@example.com",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "=?utf-8?q?a=40b?=@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a\x00@example.com",
        "\ud800@example.com",
        "x" * 65 + "@example.com",
        "a@" + "x" * 255 + ".com",
        "a%b@c@example.com",
    ],
)
def test_abuse_g4_g6_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(r.InvalidEmail):
        EmailAddress.parse(text)


@pytest.mark.parametrize(
    ("password", "refusal"),
    [
        ("fourteen chars", r.PasswordTooShort),
        ("x" * 20, r.PasswordTooCommon),
        ("PasswordPassword", r.PasswordTooCommon),
        (GOOD * 11, r.PasswordTooLong),
    ],
)
def test_a_weak_or_endless_password_is_refused(password: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        parse_password(password)


@pytest.mark.parametrize("password", [GOOD, "é" * 14 + "x", "emoji 🔑 and   spaces", (GOOD * 11)[:256]])
def test_any_other_password_is_fine(password: str) -> None:
    assert parse_password(password) == password


def test_a_password_is_compared_in_nfc() -> None:
    assert parse_password("cafe\u0301 au lait noir") == "café au lait noir"


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\u202eb", "a\u0000b"])
def test_a_display_name_without_content_or_with_controls_is_refused(name: str) -> None:
    with pytest.raises(r.InvalidDisplayName):
        parse_display_name(name)


def test_a_display_name_is_trimmed() -> None:
    assert parse_display_name("  Ada Lovelace ") == "Ada Lovelace"


def test_a_scope_is_a_list_of_tokens_each_once() -> None:
    assert parse_scope("a b a") == ("a", "b")


@pytest.mark.parametrize("scope", ["", " a", "a  b", 'a"b', "ä", "x" * 1001])
def test_abuse_j4_a_malformed_or_endless_scope_is_refused(scope: str) -> None:
    with pytest.raises(r.InvalidScope):
        parse_scope(scope)


def test_what_a_client_is_made_of_is_trimmed_and_named_once() -> None:
    assert parse_client_name(" billing ") == "billing"
    assert parse_client_scopes(["a", "b", "a"]) == ("a", "b")
    assert parse_audiences(["https://a.example.com", "b", "b"]) == ("https://a.example.com", "b")
    assert parse_audiences([]) == ()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\u0000b"])
def test_a_client_without_a_good_name_is_refused(name: str) -> None:
    with pytest.raises(r.InvalidClientName):
        parse_client_name(name)


@pytest.mark.parametrize("scopes", [[], [""], ["a b"], ['a"b'], ["ä"], ["x" * 1001], ["x" * 500, "y" * 500]])
def test_a_client_without_good_scopes_is_refused(scopes: list[str]) -> None:
    with pytest.raises(r.InvalidClientScopes):
        parse_client_scopes(scopes)


@pytest.mark.parametrize("audiences", [[""], ["a b"], ["ä"], ["x" * 1001], ["x" * 500, "y" * 501]])
def test_a_client_for_nobody_in_particular_is_refused(audiences: list[str]) -> None:
    with pytest.raises(r.InvalidClientAudiences):
        parse_audiences(audiences)
