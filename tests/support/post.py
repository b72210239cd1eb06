"""An SMTP server that does what a test tells it to, and remembers every mail it took."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session

from localstack.inbox import Mail, parse_mail


class PostBox:
    """`answers` are used up in order, one for each mail; without one a mail is taken with 250.

    `on_taken` runs after a mail was taken and before the server says so.
    """

    def __init__(self) -> None:
        self.taken: list[Mail] = []
        self.messages: list[EmailMessage] = []
        self.answers: deque[str] = deque()
        self.refused_recipients: set[str] = set()
        self.on_taken: Callable[[], None] = lambda: None
        self.port = 0

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused_recipients:
            return "550 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        answer = self.answers.popleft() if self.answers else "250 Kept"
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            at = datetime.now(UTC)
            self.messages.append(message_from_bytes(content, policy=default))
            self.taken.extend(parse_mail(content, address, at) for address in envelope.rcpt_tos)
            self.on_taken()
        return answer


@contextlib.asynccontextmanager
async def post_box() -> AsyncIterator[PostBox]:
    box = PostBox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(box, hostname="test", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
