"""The mails that the local stack caught: one JSON line each in `<home>/mail/inbox.jsonl`, oldest first."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from pathlib import Path

import msgspec

from localstack.settings_files import PRIVATE

CODE = re.compile(r"(?<!\w)(?:[0-9]{8}|cuc_[A-Za-z0-9_-]{64})(?![\w-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    to: str
    subject: str
    at: datetime
    code: str | None
    text: str
    message_id: str | None


def inbox_file(home: Path) -> Path:
    return home / "mail" / "inbox.jsonl"


def parse_mail(content: bytes, recipient: str, at: datetime) -> Mail:
    """What a person would see of a mail, with its code picked out."""
    message = message_from_bytes(content, policy=policy.default)
    body = message.get_body(("plain", "html"))
    text = str(body.get_content()).replace("\r\n", "\n").strip() if body is not None else ""
    return Mail(
        to=recipient,
        subject=str(message["subject"] or ""),
        at=at,
        code=find_code(text),
        text=text,
        message_id=str(message["message-id"]) if message["message-id"] else None,
    )


def find_code(text: str) -> str | None:
    """The first number of exactly eight digits, or code that undoes a change, that stands alone."""
    found = CODE.search(text)
    return found[0] if found else None


def append_mails(file: Path, mails: list[Mail]) -> None:
    """Durable when it returns. A torn line of an earlier crash, never acknowledged, is cut off first."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, PRIVATE)
    try:
        whole = _whole_bytes(descriptor)
        os.ftruncate(descriptor, whole)
        lines = b"".join(msgspec.json.encode(mail) + b"\n" for mail in mails)
        os.pwrite(descriptor, lines, whole)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_mails(file: Path, recipient: str | None = None) -> Iterator[Mail]:
    """All mails, or one address's; a line that is still being written is left for the next time."""
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            mail = msgspec.json.decode(line, type=Mail)
            if recipient is None or mail.to.casefold() == recipient.casefold():
                yield mail


def _whole_bytes(descriptor: int) -> int:
    """The file's length up to and with its last line end."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 4096)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
