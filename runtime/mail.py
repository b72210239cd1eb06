"""Mail by SMTP, one connection for each. Nobody else imports aiosmtplib.

A mail is sent once the server has answered 250. A server that refuses the mail itself, for good or for now,
is told apart from one that can take no mail at all now.
"""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import aiosmtplib
import idna

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
    message_id: str
    recipient: str
    subject: str
    text: str
    at: datetime


class SmtpSender:
    def __init__(self, host: str, port: int, mail_from: str) -> None:
        self._host = host
        self._port = port
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
        try:
            await aiosmtplib.send(
                message,
                sender=parseaddr(self._from)[1],
                recipients=[recipient],
                hostname=self._host,
                port=self._port,
                timeout=_TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _verdict(max(one.code for one in error.recipients)) from None
        except (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
            raise _verdict(error.code) from None
        except (aiosmtplib.SMTPNotSupported, ValueError):
            raise MailRefusedError("the server does not take such addresses") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailUnavailableError(f"SMTP: {type(error).__name__}") from None


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
    return message
