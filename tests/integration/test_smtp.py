"""Mail over real SMTP servers: encrypted to the one that was meant, or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import pytest
import uvloop

from runtime.clock import utc_now
from runtime.mail import (
    Encryption,
    MailRefusedError,
    MailUnavailableError,
    OutgoingMail,
    SmtpSender,
    SmtpServer,
)
from tests.support.certificates import Certificate, new_certificate
from tests.support.mailers import FROM
from tests.support.smtp_servers import PASSWORD, USERNAME, Behaving, Behaviour, smtp_server

HERE = "127.0.0.1"
DEADLINE_SECONDS = 20.0


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path / "tls", HERE)


def mail(recipient: str = "ada@example.com", subject: str = "Hello") -> OutgoingMail:
    return OutgoingMail(
        message_id="<1@chancery.localhost>",
        recipient=recipient,
        subject=subject,
        text="Your code:\n\n12345678\n.\n",
        html="<p>Your code: <b>12345678</b></p>",
        at=utc_now(),
    )


def sender(
    there: Behaving, encryption: Encryption, authority: Path | None, password: str | None = None
) -> SmtpSender:
    server = SmtpServer(
        host=HERE,
        port=there.box.port,
        encryption=encryption,
        authority=str(authority or ""),
        username=USERNAME if password else "",
        password=password or "",
    )
    return SmtpSender(server, FROM)


async def as_in_production(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the event loop that processes run on; the servers stay on the test's."""

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())

    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.to_thread(run)


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_a_mail_goes_encrypted_to_the_server_that_was_meant(
    certificate: Certificate, encryption: Literal["starttls", "tls"]
) -> None:
    async with smtp_server(encryption, certificate.server_context()) as there:
        post = sender(there, encryption, certificate.authority)
        await post.send(mail())
        await as_in_production(lambda: post.send(mail("bob@example.com")))
    assert [taken.to for taken in there.box.taken] == ["ada@example.com", "bob@example.com"]
    assert {taken.code for taken in there.box.taken} == {"12345678"}
    assert there.box.said == ["encrypted"] * 2


async def test_a_mail_has_a_text_and_an_html_part(certificate: Certificate) -> None:
    async with smtp_server("none") as there:
        await sender(there, "none", None).send(mail())
    (message,) = there.box.messages
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == "Your code:\n\n12345678\n.\n"
    assert html.get_content().strip() == "<p>Your code: <b>12345678</b></p>"
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("behaviour", "encryption"),
    [
        ("stripped", "starttls"),
        ("refuses-starttls", "starttls"),
        ("hangs-up", "starttls"),
        ("none", "tls"),
        ("starttls", "tls"),
    ],
)
async def test_a_server_that_does_not_encrypt_hears_nothing_of_a_mail_and_no_password(
    certificate: Certificate, behaviour: Behaviour, encryption: Encryption
) -> None:
    async with smtp_server(behaviour, certificate.server_context()) as there:
        post = sender(there, encryption, certificate.authority, PASSWORD)
        with pytest.raises(MailUnavailableError):
            await post.send(mail())
        with pytest.raises(MailUnavailableError):
            await as_in_production(lambda: post.send(mail()))
    assert (there.box.taken, there.box.said, there.passwords) == ([], [], [])


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize("flaw", ["another authority", "the system's authorities", "another host", "ended"])
async def test_a_server_that_cannot_prove_who_it_is_hears_nothing(
    certificate: Certificate, tmp_path: Path, encryption: Literal["starttls", "tls"], flaw: str
) -> None:
    shown, trusted = certificate, certificate.authority
    if flaw == "another authority":
        trusted = new_certificate(tmp_path / "other", HERE).authority
    elif flaw == "another host":
        shown = new_certificate(tmp_path / "other", "127.0.0.2")
        trusted = shown.authority
    elif flaw == "ended":
        shown = new_certificate(tmp_path / "other", HERE, ended=True)
        trusted = shown.authority
    async with smtp_server(encryption, shown.server_context()) as there:
        post = sender(there, encryption, None if "system" in flaw else trusted, PASSWORD)
        with pytest.raises(MailUnavailableError, match="certificate is not accepted"):
            await post.send(mail())
        with pytest.raises(MailUnavailableError, match="certificate is not accepted"):
            await as_in_production(lambda: post.send(mail()))
    assert (there.box.taken, there.box.said, there.passwords) == ([], [], [])


async def test_a_password_is_said_only_encrypted_and_a_wrong_one_is_no_verdict_on_the_mail(
    certificate: Certificate,
) -> None:
    async with smtp_server("starttls", certificate.server_context()) as there:
        await sender(there, "starttls", certificate.authority, PASSWORD).send(mail())
        with pytest.raises(MailUnavailableError, match="does not accept the username and password"):
            await sender(there, "starttls", certificate.authority, "a wrong one").send(mail())
    assert len(there.box.taken) == 1
    assert {*there.passwords} == {PASSWORD.encode(), b"a wrong one"}


async def test_a_header_that_would_be_two_is_never_sent() -> None:
    async with smtp_server("none") as there:
        for bad in (
            mail(subject="Hello\r\nBcc: all@example.com"),
            mail("a@example.com\r\nBcc: b@example.com"),
        ):
            with pytest.raises(MailRefusedError):
                await sender(there, "none", None).send(bad)
    assert there.box.said == []


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_a_greeting_goes_encrypted_to_the_server_that_was_meant_and_sends_nothing(
    certificate: Certificate, encryption: Literal["starttls", "tls"]
) -> None:
    async with smtp_server(encryption, certificate.server_context()) as there:
        await sender(there, encryption, certificate.authority).greet()
        with pytest.raises(MailUnavailableError, match="certificate is not accepted"):
            await sender(there, encryption, None, PASSWORD).greet()
    assert (there.box.taken, there.box.said, there.passwords) == ([], [], [])


async def test_a_greeting_signs_in_and_tells_of_a_wrong_password(certificate: Certificate) -> None:
    async with smtp_server("starttls", certificate.server_context()) as there:
        await sender(there, "starttls", certificate.authority, PASSWORD).greet()
        with pytest.raises(MailUnavailableError, match="does not accept the username and password"):
            await sender(there, "starttls", certificate.authority, "a wrong one").greet()
    assert {*there.passwords} == {PASSWORD.encode(), b"a wrong one"}
    assert (there.box.taken, there.box.said) == ([], [])


async def test_a_greeting_needs_a_server_that_encrypts_where_it_must(certificate: Certificate) -> None:
    async with smtp_server("none") as there:
        await sender(there, "none", None).greet()
        with pytest.raises(MailUnavailableError):
            await sender(there, "starttls", certificate.authority, PASSWORD).greet()
    assert (there.box.taken, there.box.said, there.passwords) == ([], [], [])
