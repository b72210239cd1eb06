"""What the mail catcher keeps of a mail."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from localstack.inbox import append_mails, find_code, parse_mail, read_mails

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAIN = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@chancery>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nYour code is 12345678.\r\n"
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Your code: 12345678", "12345678"),
        ("(00000001)", "00000001"),
        ("12345678\n87654321", "12345678"),
        ("123456789 then 12345678", "12345678"),
        ("order12345678", None),
        ("until 2026:\ncuc_" + "aB3_-x78" * 8 + "\n", "cuc_" + "aB3_-x78" * 8),
        ("cuc_" + "aB3_-x78" * 9, None),
        ("1234567", None),
        ("", None),
    ],
)
def test_the_code_is_the_first_number_of_eight_digits_that_stands_alone(text: str, code: str | None) -> None:
    assert find_code(text) == code


def test_a_mail_is_kept_as_a_person_would_see_it() -> None:
    mail = parse_mail(PLAIN, "a@example.org", AT)
    assert (mail.to, mail.subject, mail.at, mail.code, mail.text, mail.message_id) == (
        "a@example.org",
        "Grüße",
        AT,
        "12345678",
        "Your code is 12345678.",
        "<1@chancery>",
    )


def test_the_plain_part_is_preferred_and_a_mail_without_text_is_empty() -> None:
    both = (
        b'Content-Type: multipart/alternative; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>no</b>\r\n'
        b"--x\r\nContent-Type: text/plain\r\n\r\nyes\r\n--x--\r\n"
    )
    assert parse_mail(both, "a@example.org", AT).text == "yes"
    assert parse_mail(b"", "a@example.org", AT).text == ""


def test_mails_are_read_in_the_order_of_their_arrival_and_by_address(tmp_path: Path) -> None:
    file = tmp_path / "inbox.jsonl"
    for address in ("a@example.org", "b@example.org", "A@example.org"):
        append_mails(file, [parse_mail(PLAIN, address, AT)])
    assert [mail.to for mail in read_mails(file)] == ["a@example.org", "b@example.org", "A@example.org"]
    assert [mail.to for mail in read_mails(file, "a@EXAMPLE.org")] == ["a@example.org", "A@example.org"]


def test_a_torn_line_is_not_read_and_is_cut_off_by_the_next_mail(tmp_path: Path) -> None:
    file = tmp_path / "inbox.jsonl"
    append_mails(file, [parse_mail(PLAIN, "a@example.org", AT)])
    with file.open("ab") as stream:
        stream.write(b'{"to": "' + b"x" * 5_000)
    assert [mail.to for mail in read_mails(file)] == ["a@example.org"]
    append_mails(file, [parse_mail(PLAIN, "b@example.org", AT)])
    assert [mail.to for mail in read_mails(file)] == ["a@example.org", "b@example.org"]


def test_an_inbox_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert list(read_mails(tmp_path / "inbox.jsonl")) == []
