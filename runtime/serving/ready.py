"""Answers that are rendered once and sent many times, without a framework between them and the server."""

from dataclasses import dataclass
from typing import Self

from starlette.types import Message, Send

from runtime.serving.answers import HttpAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAnswer:
    """The two ASGI messages of an answer."""

    start: Message
    body: Message

    @classmethod
    def of(cls, answer: HttpAnswer) -> Self:
        headers = {**answer.headers, "content-length": str(len(answer.body))}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return cls(
            start={"type": "http.response.start", "status": answer.status, "headers": raw},
            body={"type": "http.response.body", "body": answer.body},
        )

    async def send(self, send: Send) -> None:
        await send(self.start)
        await send(self.body)
