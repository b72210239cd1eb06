"""The history of a fault run: one line for every attempt of every client, written down as it is answered.

Every command has an Idempotency-Key, and its trace in the log is that key: so the log tells which of its
commits belong to which command, without any of the product's own secrets.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.support.chancery import Chancery

Outcome = Literal["ok", "fail", "unknown"]
PATIENCE_SECONDS = 40.0
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One attempt. `effect` is the fact that the command brings about; status 0 means that nobody answered."""

    client: int
    operation: str
    effect: str
    key: str
    invoked: float
    returned: float
    outcome: Outcome
    status: int = 0
    position: str = ""
    answer: str = ""
    has_retry_after: bool = False

    @property
    def trace(self) -> str:
        return self.key.replace("-", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that may be repeated as it is: same key, same bytes."""

    method: str
    path: str
    effect: str
    request: Mapping[str, Any]
    client: int = 0
    key: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def headers(self) -> dict[str, str]:
        trace = f"00-{self.key.replace('-', '')}-{'1' * 16}-01"
        return {**self.request.get("headers", {}), "idempotency-key": self.key, "traceparent": trace}


@dataclass(slots=True, kw_only=True)
class History:
    """What clients asked of several sides of one platform."""

    sides: Sequence[Chancery]
    lines: list[Line] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)

    async def ask(self, command: Command, *, patience_seconds: float = PATIENCE_SECONDS) -> httpx.Response:
        """Repeat the command, each time at the next side, until somebody knows its outcome."""
        until = time.monotonic() + patience_seconds
        attempt = command.client
        while time.monotonic() < until:
            answer = await self.attempt(command, self.sides[attempt % len(self.sides)])
            if answer is not None and self.lines[-1].outcome != "unknown":
                return answer
            attempt += 1
            await self.pause()
        raise AssertionError(f"{command} has no known outcome after {patience_seconds} s: {self.lines[-1]}")

    async def pause(self) -> None:
        """Between two attempts."""
        await asyncio.sleep(PAUSE_SECONDS)

    async def attempt(self, command: Command, side: Chancery) -> httpx.Response | None:
        """Ask once and write the line. None if no answer came."""
        self.commands[command.key] = command
        request = {**command.request, "headers": command.headers}
        invoked = time.monotonic()
        try:
            answer = await side.command(command.method, command.path, **request)
        except httpx.TransportError:
            answer = None
        self.note(command, invoked, answer)
        return answer

    def note(self, command: Command, invoked: float, answer: httpx.Response | None) -> None:
        """Write the line of an attempt that was answered now."""
        self.commands[command.key] = command
        told: dict[str, Any] = {}
        if answer is not None:
            told = {
                "status": answer.status_code,
                "position": answer.headers.get("chancery-position", ""),
                "answer": answer.text,
                "has_retry_after": "retry-after" in answer.headers,
            }
        line = Line(
            client=command.client,
            operation=f"{command.method} {command.path}",
            effect=command.effect,
            key=command.key,
            invoked=invoked,
            returned=time.monotonic(),
            outcome=outcome_of(answer),
            **told,
        )
        self.lines.append(line)

    async def settle(self, *, sample: int = 20) -> None:
        """After healing: repeat what has no known outcome until it has, and some of what has, once more."""
        last = {line.key: line for line in self.lines}
        open_keys = [key for key, line in last.items() if line.outcome == "unknown"]
        known = [key for key, line in last.items() if line.outcome != "unknown"]
        step = max(1, len(known) // sample)
        for key in (*open_keys, *known[::step]):
            await self.ask(self.commands[key])

    def save(self, path: Path) -> None:
        """As JSON lines, for whoever has to understand a run."""
        path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in self.lines))


def outcome_of(answer: httpx.Response | None) -> Outcome:
    if answer is None or answer.status_code >= 500 or answer.status_code == 429:
        return "unknown"
    return "ok" if answer.is_success else "fail"
