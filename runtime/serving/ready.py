"""Answers that are rendered once and sent many times, without a framework between them and the server."""

from dataclasses import dataclass
from typing import Self

from starlette.types import Send

from runtime.serving.answers import HttpAnswer

_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAnswer:
    """One with status 200. `head` are the lines of its headers, and the empty line."""

    head: bytes
    body: bytes

    @classmethod
    def of(cls, answer: HttpAnswer) -> Self:
        assert answer.status == _OK
        headers = {**answer.headers, "content-length": str(len(answer.body))}
        lines = [f"{name.lower()}: {value}\r\n" for name, value in headers.items()]
        return cls(head="".join([*lines, "\r\n"]).encode("latin-1"), body=answer.body)

    async def send(self, send: Send) -> None:
        """As ASGI has it."""
        pairs = (line.partition(b": ") for line in self.head.split(b"\r\n") if line)
        headers = [(name, value) for name, _, value in pairs]
        await send({"type": "http.response.start", "status": _OK, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
