"""What mails say, and to whom."""

import re
from datetime import timedelta

from events.account import EmailVerified, PasswordResetRequested, SignUpRepeated, VerificationRequested
from events.email_change import EmailChanged, EmailChangeRequested
from events.fact import Event
from events.streams import account_stream, new_id
from projectors.mails import PlannedMail, plan_mail
from runtime.codes import MailedCodes
from runtime.keys import derive_keys
from tests.support.examples import MINUTE, NOON, REGISTERED, recorded

CODES = MailedCodes(derive_keys(bytes(32)))
ACCOUNT_ID, CHANGE_ID = new_id(), new_id()
EIGHT_DIGITS = re.compile(r"[0-9]{8}")


def planned(event: Event) -> PlannedMail | None:
    return plan_mail(recorded(event, account_stream(ACCOUNT_ID)), CODES, "chancery.localhost")


def test_a_registration_is_answered_with_its_code_alone_on_a_line() -> None:
    mail = planned(REGISTERED)
    assert mail is not None
    assert (mail.recipient, mail.wording.subject) == ("Ada@example.com", "Your Chancery code")
    code = CODES.verification("challenge-1")
    assert f"\n{code}\n" in mail.wording.text
    assert EIGHT_DIGITS.findall(mail.wording.text) == [code]
    assert "2026-01-31 12:00 UTC" in mail.wording.text
    assert mail.expires_at == NOON + 15 * MINUTE


def test_a_code_asked_for_again_comes_with_a_message_id_of_its_own() -> None:
    again = VerificationRequested(
        challenge_id="challenge-2",
        code_expires_at=NOON,
        registered_at=NOON - 7 * MINUTE,
        email="a@example.com",
    )
    first, second, repeated = planned(REGISTERED), planned(again), planned(again)
    assert first is not None
    assert second is not None
    assert second == repeated
    assert first.message_id != second.message_id
    assert EIGHT_DIGITS.findall(second.wording.text) == [CODES.verification("challenge-2")]
    assert "the sign-up made at 2026-01-31 11:53 UTC" in second.wording.text
    assert second.message_id.endswith("@chancery.localhost>")


def test_an_owner_is_told_of_a_sign_up_without_any_code() -> None:
    mail = planned(SignUpRepeated(notice_id="n", email="a@example.com"))
    assert mail is not None
    assert EIGHT_DIGITS.findall(mail.wording.text) == []
    assert mail.expires_at == NOON + timedelta(hours=1)


def test_an_erased_address_has_no_recipient_and_other_facts_no_mail() -> None:
    mail = planned(SignUpRepeated(notice_id="n", email=None))
    assert mail is not None
    assert mail.recipient is None
    assert planned(EmailVerified(challenge_id="c")) is None


def test_neither_address_nor_code_is_printed() -> None:
    assert not re.search("Ada|" + CODES.verification("challenge-1"), repr(planned(REGISTERED)))


def test_a_code_for_a_new_password_goes_to_the_accounts_address() -> None:
    asked = PasswordResetRequested(
        challenge_id="c", code_expires_at=NOON + 15 * MINUTE, requested_at=NOON, email="Ada@example.com"
    )
    mail = planned(asked)
    assert mail is not None
    assert (mail.recipient, mail.expires_at) == ("Ada@example.com", NOON + 15 * MINUTE)
    assert EIGHT_DIGITS.findall(mail.wording.text) == [CODES.password_reset("c")]


def test_a_new_address_gets_a_code_and_the_old_one_the_way_back() -> None:
    asked = EmailChangeRequested(
        change_id=CHANGE_ID,
        identifier="identifier-new",
        code_expires_at=NOON + 15 * MINUTE,
        requested_at=NOON,
        email="new@example.com",
    )
    changed = EmailChanged(
        change_id=CHANGE_ID,
        identifier="identifier-new",
        undo_until=NOON + timedelta(days=7),
        email="new@example.com",
        previous_email="Ada@example.com",
    )
    first, second = planned(asked), planned(changed)
    assert first is not None
    assert second is not None
    assert (first.recipient, second.recipient) == ("new@example.com", "Ada@example.com")
    assert EIGHT_DIGITS.findall(first.wording.text) == [CODES.email_change(CHANGE_ID)]
    assert f"\n{CODES.undo(ACCOUNT_ID, CHANGE_ID)}\n" in second.wording.text
    assert "new@example.com" not in second.wording.text
    assert second.expires_at == NOON + timedelta(days=7)
