"""What mails say, and to whom."""

import re
from datetime import timedelta

from events.account import EmailVerified, SignUpRepeated, VerificationRequested
from events.fact import Event
from eventstore.commit import Position
from eventstore.facts import RecordedFact
from projectors.mails import PlannedMail, plan_mail
from tests.support.examples import MINUTE, NOON, REGISTERED

EIGHT_DIGITS = re.compile(r"[0-9]{8}")


def planned(event: Event) -> PlannedMail | None:
    fact = RecordedFact(
        stream="account-acc", version=1, event=event, at=NOON, position=Position(partition=0, seq=1)
    )
    return plan_mail(fact, lambda challenge_id: f"{len(challenge_id):08d}", "chancery.localhost")


def test_a_registration_is_answered_with_its_code_alone_on_a_line() -> None:
    mail = planned(REGISTERED)
    assert mail is not None
    assert (mail.recipient, mail.subject) == ("Ada@example.com", "Your Chancery code")
    assert "\n00000011\n" in mail.text
    assert EIGHT_DIGITS.findall(mail.text) == ["00000011"]
    assert "2026-01-31 12:00 UTC" in mail.text
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
    assert EIGHT_DIGITS.findall(second.text) == ["00000011"]
    assert "the sign-up made at 2026-01-31 11:53 UTC" in second.text
    assert second.message_id.endswith("@chancery.localhost>")


def test_an_owner_is_told_of_a_sign_up_without_any_code() -> None:
    mail = planned(SignUpRepeated(notice_id="n", email="a@example.com"))
    assert mail is not None
    assert EIGHT_DIGITS.findall(mail.text) == []
    assert mail.expires_at == NOON + timedelta(hours=1)


def test_an_erased_address_has_no_recipient_and_other_facts_no_mail() -> None:
    mail = planned(SignUpRepeated(notice_id="n", email=None))
    assert mail is not None
    assert mail.recipient is None
    assert planned(EmailVerified(challenge_id="c")) is None


def test_neither_address_nor_code_is_printed() -> None:
    assert not re.search("Ada|00000011", repr(planned(REGISTERED)))
