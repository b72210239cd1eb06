"""Runs decisions through the writer, and makes requests with an Idempotency-Key happen once.

Such a request first claims its key (one small commit where the key hashes to). Its effect and its sealed
answer are then one commit where the effect belongs, so a repetition finds both or neither.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from prometheus_client import Histogram

from command_api.answers import refusal_answer
from command_api.calls import Call
from command_api.forwarding import Alone
from domain.idempotency import KEPT_FOR, KeepAnswer, Receive, is_claimed, kept_answer
from domain.refusals import Refusal
from events.streams import base32, category_of, slot_of, slot_prefix, stream
from eventstore.writer import Done, Draft, Origin, Writer
from runtime.clock import Clock
from runtime.keys import keyed_digest
from runtime.serving.answers import HttpAnswer
from runtime.tracing import span

Decide = Callable[[Draft], HttpAnswer]
ALONE = Alone()


class Settles(Protocol):
    """Who decides a call: see `command_api.forwarding`."""

    async def settle(self, call: Call, stream: str) -> Call: ...


class Executor:
    def __init__(
        self,
        writer: Writer,
        request_key: bytes,
        clock: Clock,
        forwarding: Settles = ALONE,
        seconds: Histogram | None = None,
    ) -> None:
        """`seconds` measures decisions by their stream's category and outcome."""
        self._writer = writer
        self._seconds = seconds
        self._clock = clock
        self._request_key = request_key
        self._forwarding = forwarding

    async def settle(self, call: Call, target: str) -> Call:
        """Before anything costly: the call if it is to be decided here, else AnswerError with another's answer."""
        return await self._forwarding.settle(call, target)

    async def run(self, call: Call, target: str, decide: Decide) -> HttpAnswer:
        """Decide on the partition of the stream `target`; refusals come back as answers."""
        call = await self.settle(call, target)
        category = category_of(target)
        with (
            self._measured(category) as measured,
            span(f"decide {category}", "producer", call.trace) as deciding,
        ):
            origin = Origin(actor=call.actor, trace=deciding.traceparent)
            try:
                if call.key is None:
                    done = await self._writer.transact(target, decide, origin, deadline=call.deadline)
                else:
                    done = await self._run_once(call, call.key, target, decide, origin)
            except Refusal as refusal:
                measured.outcome = "refused"
                deciding.describe({"chancery.refusal": refusal.code})
                return refusal_answer(refusal, call.path)
            measured.outcome = "decided"
            deciding.describe({"chancery.position": str(done.position)})
            return done.reply

    @contextlib.contextmanager
    def _measured(self, category: str) -> Iterator["_Measured"]:
        measured, began = _Measured(), time.perf_counter()
        try:
            yield measured
        finally:
            if self._seconds is not None:
                self._seconds.labels(category, measured.outcome).observe(time.perf_counter() - began)

    async def _run_once(
        self, call: Call, key: str, target: str, decide: Decide, origin: Origin
    ) -> Done[HttpAnswer]:
        scope = f"{call.actor.kind}:{call.actor.id} {call.method} {call.path} {call.within}".rstrip()
        digest = keyed_digest(self._request_key, b"key", scope.encode(), key.encode())
        body = call.body + b"?" + call.query.encode("latin-1")
        fingerprint = base32(keyed_digest(self._request_key, b"body", body))
        await self._claim(_Kept("request", base32(digest)[:2], digest), fingerprint, origin, call.deadline)
        answers = _Kept("answer", slot_prefix(slot_of(target)), digest)
        return await self._writer.transact(
            target,
            lambda draft: _once(draft, answers, decide, call.path),
            replace(origin, commit_id=_commit_id(digest, self._clock())),
            deadline=call.deadline,
        )

    async def _claim(
        self, requests: "_Kept", fingerprint: str, origin: Origin, deadline: float
    ) -> Done[None]:
        def claim(draft: Draft) -> None:
            claimed = [name for name in requests.names(draft.at) if is_claimed(draft.state(name), draft.at)]
            name = claimed[0] if claimed else requests.name(draft.at)
            draft.decide(name, Receive(fingerprint=fingerprint, at=draft.at))

        return await self._writer.transact(requests.name(self._clock()), claim, origin, deadline=deadline)


@dataclass(slots=True)
class _Measured:
    outcome: Literal["decided", "refused", "failed"] = "failed"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The streams of one key: one for each day, so that a stream that has passed is never spoken of again."""

    category: str
    slot: str
    digest: bytes

    def name(self, at: datetime) -> str:
        return stream(self.category, self.slot + base32(keyed_digest(self.digest, f"{at:%Y-%m-%d}".encode())))

    def names(self, at: datetime) -> tuple[str, ...]:
        """Where something may stand that is still kept at that time, the newest first."""
        return tuple(self.name(at - KEPT_FOR * n) for n in range(2))


def _commit_id(digest: bytes, at: datetime) -> str:
    """The same for the repetitions of a request, another for a later use of its key."""
    return str(uuid.UUID(bytes=keyed_digest(digest, f"commit {at:%Y-%m-%d}".encode())[:16], version=5))


def _once(draft: Draft, answers: _Kept, decide: Decide, path: str) -> HttpAnswer:
    """The kept answer if there is one, else the decision's, kept in the same commit."""
    for name in answers.names(draft.at):
        kept = kept_answer(draft.state(name), draft.at)
        if kept is not None:
            return _parse(kept)
    try:
        answer = decide(draft)
    except Refusal as refusal:
        draft.discard()
        answer = refusal_answer(refusal, path)
    draft.decide(answers.name(draft.at), KeepAnswer(answer=_render(answer), at=draft.at))
    return answer


def _render(answer: HttpAnswer) -> str:
    content = {"status": answer.status, "body": answer.body.decode(), "headers": dict(answer.headers)}
    return json.dumps(content, ensure_ascii=False)


def _parse(text: str) -> HttpAnswer:
    content = json.loads(text)
    return HttpAnswer(status=content["status"], body=content["body"].encode(), headers=content["headers"])
