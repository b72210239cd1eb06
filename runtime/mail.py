"""Mail by SMTP, one connection for each. Nobody else imports aiosmtplib.

A mail is sent once the server has answered 250. A server that refuses the mail itself, for good or for now,
is told apart from one that can take no mail at all now: to that one belongs a server that does not encrypt
though it must, or cannot prove who it is. It gets nothing, and the mail waits.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Literal, Self

import aiosmtplib
import idna

from runtime.settings import Settings

Encryption = Literal["starttls", "tls", "none"]

_PERMANENT = 500
_SERVICE_NOT_AVAILABLE = 421
_TIMEOUT_SECONDS = 10.0


class MailUnavailableError(Exception):
    """The server cannot take mail now, or nobody knows whether it took this one."""


class MailDeferredError(Exception):
    """The server cannot take this mail for this recipient now; others it may take."""


class MailRefusedError(Exception):
    """The server will never take this mail for this recipient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """`text` and `html` say the same; a reader shows one of them."""

    message_id: str
    recipient: str
    subject: str
    text: str
    html: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail goes, and how it is known that it is that server.

    With `starttls` and `tls` nothing of a mail, and no password, is said before the server has proven by its
    certificate to be `host`. `authority` is a PEM file of who signs it; empty: whom the system trusts.
    """

    host: str
    port: int
    encryption: Encryption
    authority: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            encryption=settings.smtp_tls,
            authority=settings.smtp_tls_authority,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """OSError if the authority cannot be read."""
        if self.encryption == "none":
            return None
        context = ssl.create_default_context(cafile=self.authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class SmtpSender:
    def __init__(self, server: SmtpServer, mail_from: str) -> None:
        self._server = server
        self._context = server.tls_context()
        self._from = mail_from

    @property
    def domain(self) -> str:
        """The right half of the sender's address, which message ids end in."""
        return parseaddr(self._from)[1].rpartition("@")[2]

    async def send(self, mail: OutgoingMail) -> None:
        """Return once the server took the mail; one of the three errors above otherwise."""
        try:
            recipient = _with_ascii_domain(mail.recipient)
            message = _message(self._from, recipient, mail)
        except ValueError:
            raise MailRefusedError("not an address that mail can be sent to") from None
        client = self._client()
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailableError(_reason(error)) from None
        await self._hand_over(client, message, recipient)

    async def greet(self) -> None:
        """Connect as for a mail, encrypted and signed in as configured, and leave. MailUnavailableError if that fails."""
        client = self._client()
        try:
            await client.connect()
            await client.ehlo()
            await client.quit()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailableError(_reason(error)) from None
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.encryption == "tls",
            start_tls=server.encryption == "starttls",
            tls_context=self._context,
            username=server.username or None,
            password=server.password or None,
            timeout=_TIMEOUT_SECONDS,
        )

    async def _hand_over(self, client: aiosmtplib.SMTP, message: EmailMessage, recipient: str) -> None:
        try:
            async with client:
                await self._send(client, message, recipient)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _verdict(max(one.code for one in error.recipients)) from None
        except (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
            raise _verdict(error.code) from None
        except (aiosmtplib.SMTPNotSupported, ValueError):
            raise MailRefusedError("the server does not take such addresses") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailableError(_reason(error)) from None

    async def _send(self, client: aiosmtplib.SMTP, message: EmailMessage, recipient: str) -> None:
        try:
            await client.send_message(message, sender=parseaddr(self._from)[1], recipients=[recipient])
        except asyncio.CancelledError:
            client.close()  # a server that hangs would keep us waiting for its farewell
            raise


def _reason(error: BaseException) -> str:
    """What a person needs to know of a server that takes no mail. Servers' own words are not repeated."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"SMTP: the server's certificate is not accepted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"SMTP: the server does not accept the username and password ({error.code})"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"SMTP {error.code}"
    if type(error) is aiosmtplib.SMTPException:  # the library's own sentence: what the server cannot do
        return f"SMTP: {error.message}"
    return f"SMTP: {type(error).__name__}"


def _verdict(code: int) -> Exception:
    """What a refusal of the recipient or the text means. 421 closes the connection, and tells of the server."""
    if code >= _PERMANENT:
        return MailRefusedError(f"SMTP {code}")
    if code == _SERVICE_NOT_AVAILABLE:
        return MailUnavailableError(f"SMTP {code}")
    return MailDeferredError(f"SMTP {code}")


def _with_ascii_domain(address: str) -> str:
    """The same mailbox, with the domain in the form that every server takes (RFC 5891 A-labels)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{idna.encode(domain, uts46=True).decode()}"


def _message(sender: str, recipient: str, mail: OutgoingMail) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message
