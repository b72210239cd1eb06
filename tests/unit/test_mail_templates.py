"""The words of every mail: both parts say the same, nothing comes from elsewhere, nothing typed by people is in them."""

import re
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from jinja2 import UndefinedError

from events.account import AccountRegistered, PasswordResetRequested, SignUpRepeated, VerificationRequested
from events.email_change import EmailChanged, EmailChangeRequested
from events.fact import Event
from events.factors import (
    PasskeyRegistered,
    PasskeyRemoved,
    RecoveryCodeAccepted,
    RecoveryCodesIssued,
    TotpEnrolled,
    TotpRemoved,
)
from events.risk import OwnerNoticeRequested, RiskReason
from events.streams import account_stream
from localstack.inbox import find_code
from projectors import mail_text
from projectors.mail_text import MAIL_KINDS, MailKind, Wording, render_mail
from projectors.mails import HANDLES, PlannedMail, plan_mail
from runtime.codes import MailedCodes
from runtime.keys import derive_keys
from tests.support.examples import MINUTE, NOON, recorded

FOLDER = Path(mail_text.__file__).parent / "mail_templates"
GOLDEN = Path(__file__).parent.parent / "golden" / "mails"
CODES = MailedCodes(derive_keys(bytes(32)))
UNTIL = NOON + 15 * MINUTE
NASTY = "<a href='https://evil.example'>win</a>\r\nBcc: all@example.com\r\n{{ 7 * 7 }} https://evil.example"
NASTY_EMAIL = "evil.example/win@example.com"
FACTS: dict[MailKind, Event] = {
    "verification": AccountRegistered(
        account_id="acc",
        identifier="identifier-ada",
        policy="verify",
        challenge_id="c1",
        code_expires_at=UNTIL,
        registered_at=NOON,
        email=NASTY_EMAIL,
        display_name=NASTY,
    ),
    "verification-again": VerificationRequested(
        challenge_id="c2", code_expires_at=UNTIL, registered_at=NOON, email=NASTY_EMAIL
    ),
    "sign-up-repeated": SignUpRepeated(notice_id="n", email=NASTY_EMAIL),
    "password-reset": PasswordResetRequested(
        challenge_id="c3", code_expires_at=UNTIL, requested_at=NOON, email=NASTY_EMAIL
    ),
    "email-change": EmailChangeRequested(
        change_id="aaaaaaaaaaaaaaaaaaaaaaaaaa",
        identifier="identifier-new",
        code_expires_at=UNTIL,
        requested_at=NOON,
        email=NASTY_EMAIL,
    ),
    "email-changed": EmailChanged(
        change_id="aaaaaaaaaaaaaaaaaaaaaaaaaa",
        identifier="identifier-new",
        undo_until=NOON + timedelta(days=7),
        email="new.evil.example/win@example.com",
        previous_email=NASTY_EMAIL,
    ),
    "suspicion": OwnerNoticeRequested(
        notice_id="n", reason="sign-in-failures", requested_at=NOON, email=NASTY_EMAIL
    ),
    "factors-changed": TotpEnrolled(
        enrolment_id="e", claim_id="acc", step=1, enrolled_at=NOON, email=NASTY_EMAIL
    ),
}
FACTOR_CHANGES: tuple[Event, ...] = (
    FACTS["factors-changed"],
    TotpRemoved(email=NASTY_EMAIL),
    PasskeyRegistered(
        passkey_id="p",
        claim_id="acc",
        challenge_id="c",
        challenge_expires_at=NOON,
        is_synced=True,
        sign_count=0,
        registered_at=NOON,
        email=NASTY_EMAIL,
    ),
    PasskeyRemoved(passkey_id="p", email=NASTY_EMAIL),
    RecoveryCodeAccepted(challenge_id="c", number=0, email=NASTY_EMAIL),
    RecoveryCodesIssued(set_id="r", count=10, issued_at=NOON, email=NASTY_EMAIL),
)
WITHOUT_CODE: set[MailKind] = {"sign-up-repeated", "suspicion", "factors-changed"}
LOADING_TAGS = {
    "img",
    "link",
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "a",
    "base",
    "video",
    "audio",
    "svg",
}
LOADING_ATTRIBUTES = {"src", "href", "background", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """What a person reads of an HTML part, line by line, and which tags and attributes it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles = ""
        self._words = ""
        self._is_body = False
        self.feed(html)

    @property
    def words(self) -> list[str]:
        return self._words.split()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._is_body |= tag == "body"
        self.attributes |= {name for name, _ in attrs}
        self.styles += " ".join(value or "" for name, value in attrs if name == "style")

    def handle_data(self, data: str) -> None:
        if self._is_body:
            self._words += data


def planned(kind: MailKind) -> PlannedMail:
    mail = plan_mail(
        recorded(FACTS[kind], account_stream("aaaaaaaaaaaaaaaaaaaaaaaaaa")), CODES, "chancery.test"
    )
    assert mail is not None
    assert mail.kind == kind
    return mail


def test_every_mail_has_its_folder_and_an_example_here() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(MAIL_KINDS) == set(FACTS)
    assert {type(fact) for fact in (*FACTS.values(), *FACTOR_CHANGES)} == HANDLES


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_both_parts_of_a_mail_say_the_same_with_the_same_code_and_end(kind: MailKind) -> None:
    wording = planned(kind).wording
    page = Page(wording.html)
    assert page.words == wording.text.split()
    assert find_code(" ".join(page.words)) == find_code(wording.text)
    assert (find_code(wording.text) is None) == (kind in WITHOUT_CODE)


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_a_mail_reads_as_it_did_when_somebody_last_looked_at_it(kind: MailKind) -> None:
    wording = planned(kind).wording
    assert f"{wording.subject}\n\n{wording.text}" == (GOLDEN / f"{kind}.txt").read_text()
    assert wording.html == (GOLDEN / f"{kind}.html").read_text()


def test_there_is_no_golden_mail_without_a_kind() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(MAIL_KINDS)


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_a_mail_loads_nothing_links_nowhere_and_carries_nothing_that_anybody_typed(kind: MailKind) -> None:
    wording = planned(kind).wording
    page = Page(wording.html)
    assert not page.tags & LOADING_TAGS
    assert not page.attributes & LOADING_ATTRIBUTES
    assert "url(" not in page.styles
    everything = wording.subject + wording.text + wording.html
    assert not re.search(r"evil|https?:|www\.|{{|Bcc|@", everything)


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_values_are_escaped_in_html_and_can_begin_no_header(kind: MailKind) -> None:
    reason = "totp-enrolled" if kind == "factors-changed" else "sign-in-failures"
    wording = render_mail(kind, at=NASTY, until=NASTY, code=NASTY, reason=reason)
    page = Page(wording.html)
    assert page.tags == Page(planned(kind).wording.html).tags
    assert "&lt;a href=" in wording.html
    assert "{{ 7 * 7 }}" in wording.text
    message = EmailMessage(policy=SMTP)
    message["Subject"] = wording.subject
    assert message.keys() == ["Subject"]


def test_a_subject_is_one_line_whatever_its_values() -> None:
    assert mail_text.one_line("Hello Ada\r\nBcc: x\x00\u2028\x85y\t z\n") == "Hello Ada Bcc: x y z"


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_a_value_that_nobody_gave_is_an_error(kind: MailKind) -> None:
    with pytest.raises(UndefinedError):
        render_mail(kind)


def test_a_suspicion_has_words_of_its_own_for_each_reason() -> None:
    reasons = get_args(RiskReason)
    texts = {
        render_mail("suspicion", at="noon", reason=reason).text.split(" at noon")[0] for reason in reasons
    }
    assert len(texts) == len(reasons) > 1
    with pytest.raises(UndefinedError):
        render_mail("suspicion", at="noon", reason="no such reason")


def test_each_change_of_factors_has_words_of_its_own_and_goes_to_the_owner() -> None:
    mails = [
        plan_mail(recorded(fact, account_stream("acc")), CODES, "chancery.test") for fact in FACTOR_CHANGES
    ]
    found = [mail for mail in mails if mail is not None]
    assert {(mail.kind, mail.recipient, mail.allowance) for mail in found} == {
        ("factors-changed", NASTY_EMAIL, "owner")
    }
    assert len({mail.wording.text for mail in found}) == len(FACTOR_CHANGES)
    brought = recorded(RecoveryCodesIssued(set_id="r", count=10, issued_at=NOON), account_stream("acc"))
    assert plan_mail(brought, CODES, "chancery.test") is None
    with pytest.raises(UndefinedError):
        render_mail("factors-changed", at="noon", reason="no such reason")


def test_codes_are_not_printed() -> None:
    assert repr(render_mail("verification", at="a", until="b", code="12345678")) == repr(
        Wording(subject="Your Chancery code", text="", html="")
    )
