"""The local stack's mails as they come: read once, found by address, also among thousands."""

import asyncio
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from localstack.inbox import Mail, inbox_file

LOOK_SECONDS = 0.03


class Letters:
    def __init__(self, home: Path) -> None:
        self._file = inbox_file(home)
        self._read = 0
        self._by_address: dict[str, list[Mail]] = defaultdict(list)

    async def code(self, email: str, *, after: int = 0, within_seconds: float) -> str | None:
        """The code of the newest mail to an address beyond the first `after`; None if none comes in time."""
        until = time.monotonic() + within_seconds
        while True:
            mails = self.to(email)[after:]
            codes = [mail.code for mail in mails if mail.code is not None]
            if codes:
                return str(codes[-1])
            if time.monotonic() > until:
                return None
            await asyncio.sleep(LOOK_SECONDS)

    def to(self, email: str) -> list[Mail]:
        self._look()
        return self._by_address[email.casefold()]

    def _look(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                mail = msgspec.json.decode(line, type=Mail)
                self._by_address[mail.to.casefold()].append(mail)
