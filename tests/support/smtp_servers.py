"""Real SMTP servers that encrypt, do not, say that they cannot, or are somebody else; each remembers what it heard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.post import PostBox

Behaviour = Literal["starttls", "tls", "none", "stripped", "refuses-starttls", "hangs-up"]
USERNAME, PASSWORD = "mailer", "a password of a test"


class ListeningBox(PostBox):
    """Also remembers every word that was said of a mail, and whether it was said in the clear."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        assert server.transport is not None
        self.said.append("encrypted" if server.transport.get_extra_info("ssl_object") else "clear")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"


@dataclass(slots=True, kw_only=True)
class Behaving:
    """How the server is; a test may change it between two mails."""

    behaviour: Behaviour
    box: ListeningBox
    context: SSLContext | None = None
    passwords: list[bytes] = field(default_factory=list)


class Server(SMTP):
    """STARTTLS as it behaves."""

    def __init__(self, behaving: Behaving) -> None:
        self._behaving = behaving
        offers = behaving.behaviour in {"starttls", "refuses-starttls", "hangs-up"}
        super().__init__(
            behaving.box,
            hostname="test",
            enable_SMTPUTF8=True,
            tls_context=behaving.context if offers else None,
            require_starttls=offers,
            authenticator=self._check,
            loop=asyncio.get_running_loop(),
        )

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  # as above
        if self._behaving.behaviour == "refuses-starttls":
            await self.push("454 TLS not available")
        elif self._behaving.behaviour == "hangs-up":
            await self.push("220 Ready to start TLS")
            assert self.transport is not None
            self.transport.close()
        else:
            await super().smtp_STARTTLS(arg)

    def _check(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: object
    ) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self._behaving.passwords.append(login.password)
        is_right = (login.login, login.password) == (USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)


@contextlib.asynccontextmanager
async def smtp_server(behaviour: Behaviour, context: SSLContext | None = None) -> AsyncIterator[Behaving]:
    behaving = Behaving(behaviour=behaviour, box=ListeningBox(), context=context)
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(behaving),
        "127.0.0.1",
        0,
        ssl=context if behaviour == "tls" else None,
    )
    behaving.box.port = server.sockets[0].getsockname()[1]
    try:
        yield behaving
    finally:
        server.close()
