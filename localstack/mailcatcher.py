"""An SMTP server that delivers nothing: it keeps every mail in the inbox file and says 250 once it is on disk.

Only for addresses at `refused.test` it has no mailbox. Run as `python -m localstack.mailcatcher PORT INBOX [HOST]`;
in a container HOST is 0.0.0.0.
"""

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from localstack.inbox import append_mails, parse_mail
from localstack.ports import LOOPBACK

MOST_BYTES = 1 << 20
HOST_NAME = "chancery.localhost"
REFUSED_DOMAIN = "refused.test"
"""Mail to any address there bounces, so that one can see what follows from it."""
ARGUMENTS = (3, 4)


class Catcher:
    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.rpartition("@")[2].lower() == REFUSED_DOMAIN:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        assert isinstance(content, bytes)
        at = datetime.now(UTC)
        append_mails(self._inbox, [parse_mail(content, address, at) for address in envelope.rcpt_tos])
        return "250 Kept"


async def serve(port: int, inbox: Path, host: str = LOOPBACK) -> None:
    """Catch mails until SIGTERM or SIGINT."""
    inbox.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, stopping.set)
    catcher = Catcher(inbox)

    def session() -> SMTP:
        return SMTP(catcher, hostname=HOST_NAME, data_size_limit=MOST_BYTES, enable_SMTPUTF8=True)

    server = await loop.create_server(session, host, port)
    await stopping.wait()
    server.close()


if __name__ == "__main__":
    if len(sys.argv) not in ARGUMENTS:
        sys.exit("usage: python -m localstack.mailcatcher PORT INBOX [HOST]")
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
