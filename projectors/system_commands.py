"""The Command API as our own workers call it: signed, under an Idempotency-Key, tried again for a bounded time.

A worker may give a command as often as it likes, also after it was restarted: the key follows from what the command
says, so it happens once. Whatever is not an answer of the domain is worth another try, also a 403, which clocks that
differ cause too; only a refusal is final.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Literal

from events.risk import RiskReason
from events.streams import base32
from eventstore.errors import TryAgainError
from runtime.keys import derive_keys, keyed_digest
from runtime.serving.answers import PROBLEM_TYPE, HttpAnswer
from runtime.serving.forwarded import SYSTEM, NoAnswerError, NotSentError, Sender
from runtime.serving.stamps import SignedRequest
from runtime.settings import Settings, secret_bytes

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
ATTEMPT_SECONDS = 4.0
"""Longer than the Command API gives itself for a command."""
PATIENCE_SECONDS = 10.0
_REFUSALS = frozenset({404, 409, 422})
_NO_SUCH_PATH = "not-found"
_ACCEPTED = 204
_KEY = b"chancery/system/v1"

Worker = Literal["risk", "mailer"]


class CommandRefusedError(Exception):
    """A rule forbids the command, today and tomorrow. `code` is the refusal's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class CommandUnansweredError(TryAgainError):
    """The Command API did not answer in time. Give the same command again: it happens once."""


class CommandApi:
    def __init__(self, sender: Sender, url: str, worker: Worker, patience_seconds: float) -> None:
        self._sender = sender
        self._url = url
        self._worker = worker
        self._patience_seconds = patience_seconds

    @classmethod
    def of(
        cls, settings: Settings, worker: Worker, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> "CommandApi":
        key = derive_keys(secret_bytes(settings.secret_key)).system_key
        url = settings.system_url or settings.command_url
        return cls(Sender(key, None, SYSTEM), url, worker, patience_seconds)

    async def close(self) -> None:
        await self._sender.close()

    async def report_mail_bounced(self, *, account_id: str, message_id: str, kind: str) -> None:
        """`kind` is which of our mails it was, e.g. `password-reset`. Errors as of `give`."""
        said = {"account_id": account_id, "message_id": message_id, "kind": kind}
        await self.give("mail-bounces", said, key=f"{account_id} {message_id}")

    async def flag_session(self, *, account_id: str, session_id: str, reason: RiskReason, key: str) -> None:
        said = {"account_id": account_id, "session_id": session_id, "reason": reason}
        await self.give("session-flags", said, key=key)

    async def require_step_up(
        self, *, account_id: str, session_id: str | None, reason: RiskReason, key: str
    ) -> None:
        """Of one session, or of every one that is live."""
        said = {"account_id": account_id, "reason": reason}
        await self.give(
            "step-ups", said if session_id is None else {**said, "session_id": session_id}, key=key
        )

    async def notify_owner(self, *, account_id: str, reason: RiskReason, key: str) -> None:
        said = {"account_id": account_id, "notice_id": digest_of("notice", key), "reason": reason}
        await self.give("owner-notices", said, key=key)

    async def give(self, path: str, said: Mapping[str, str], *, key: str) -> None:
        """Return once the command counts. CommandRefusedError if it never will, CommandUnansweredError if nobody knows.

        `key` is what makes two commands one: the same text for every repetition, whatever it holds.
        """
        digest = digest_of(path, key)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            reason = await self._attempt(path, said, digest, min(ATTEMPT_SECONDS, until - loop.time()))
            if reason is None:
                return
            if loop.time() + pause >= until:
                raise CommandUnansweredError(f"the Command API, asked for {path}: {reason}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _attempt(self, path: str, said: Mapping[str, str], key: str, seconds: float) -> str | None:
        """None if the command counts, else why it is not known to."""
        request = SignedRequest(
            method="POST",
            target=f"/v1/system/{path}",
            headers={"content-type": "application/json", "idempotency-key": key},
            body=json.dumps(said).encode(),
            client=self._worker,
            seconds=seconds,
        )
        try:
            answer = await self._sender.send(self._url, request)
        except (NotSentError, NoAnswerError) as error:
            return f"{type(error).__name__} ({error})"
        if answer.status == _ACCEPTED:
            return None
        code = _problem_code(answer)
        if answer.status in _REFUSALS and code not in ("", _NO_SUCH_PATH):
            raise CommandRefusedError(code)
        return f"answered {answer.status} {code}"


def digest_of(purpose: str, key: str) -> str:
    """A name for this key that has a bounded length and nothing but letters and digits."""
    return base32(keyed_digest(_KEY, purpose.encode(), key.encode()))


def _problem_code(answer: HttpAnswer) -> str:
    """Empty if the answer is none of ours."""
    try:
        content: Any = json.loads(answer.body)
    except ValueError:
        return ""
    said = content.get("type") if isinstance(content, dict) else None
    return said.removeprefix(PROBLEM_TYPE) if isinstance(said, str) and said.startswith(PROBLEM_TYPE) else ""
