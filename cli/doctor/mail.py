"""Mail: whether the server answers, encrypts as configured, is who it should be, and takes our name. Nothing is sent."""

from collections.abc import Sequence

from cli.doctor.finding import Finding, green, red, yellow
from runtime.mail import MailUnavailableError, SmtpSender, SmtpServer
from runtime.settings import Settings

MAIL = "mail"
_HOW = {"starttls": "encrypted (STARTTLS)", "tls": "encrypted (TLS)", "none": "not encrypted"}


async def server(settings: Settings) -> Sequence[Finding]:
    try:
        await SmtpSender(SmtpServer.of(settings), settings.mail_from).greet()
    except (MailUnavailableError, OSError) as error:
        reason = str(error).removeprefix("SMTP: ") if isinstance(error, MailUnavailableError) else "authority"
        advice = (
            "Mails wait meanwhile. Check CHANCERY_SMTP_… (docs/how-to/send-mail.md) and that server's log."
        )
        return [red(MAIL, f"no mail can be handed over: {reason}", advice)]
    login = ", signed in" if settings.smtp_username else ""
    said = f"the server greets, {_HOW[settings.smtp_tls]}{login}; nothing was sent"
    if settings.smtp_tls == "none" and settings.mode == "production":
        return [yellow(MAIL, said, "Codes go in the clear: set CHANCERY_SMTP_TLS.")]
    return [green(MAIL, said)]
