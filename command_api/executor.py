"""Runs decisions through the writer, and makes requests with an Idempotency-Key happen once.

Such a request first claims its key (one small commit where the key hashes to). Its effect and its sealed
answer are then one commit where the effect belongs, so a repetition finds both or neither.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace

from command_api.answers import refusal_answer
from command_api.calls import Call
from domain.idempotency import KeepAnswer, Receive, kept_answer
from domain.refusals import Refusal
from events.streams import base32, slot_of, slot_prefix, stream
from eventstore.writer import Done, Draft, Origin, Writer
from runtime.keys import keyed_digest
from runtime.serving.answers import HttpAnswer

Decide = Callable[[Draft], HttpAnswer]


class Executor:
    def __init__(self, writer: Writer, request_key: bytes) -> None:
        self._writer = writer
        self._request_key = request_key

    async def run(self, call: Call, target: str, decide: Decide) -> HttpAnswer:
        """Decide on the partition of the stream `target`; refusals come back as answers."""
        origin = Origin(actor=call.actor, trace=call.trace)
        try:
            if call.key is None:
                return (await self._writer.transact(target, decide, origin)).reply
            return await self._run_once(call, call.key, target, decide, origin)
        except Refusal as refusal:
            return refusal_answer(refusal, call.path)

    async def _run_once(
        self, call: Call, key: str, target: str, decide: Decide, origin: Origin
    ) -> HttpAnswer:
        scope = f"{call.actor.kind}:{call.actor.id} {call.method} {call.path}"
        digest = keyed_digest(self._request_key, b"key", scope.encode(), key.encode())
        fingerprint = base32(keyed_digest(self._request_key, b"body", call.body))
        await self._claim(stream("request", base32(digest)), fingerprint, origin)
        answers = stream("answer", slot_prefix(slot_of(target)) + base32(digest))
        commit_id = str(uuid.UUID(bytes=digest[:16], version=5))
        done = await self._writer.transact(
            target,
            lambda draft: _once(draft, answers, decide, call.path),
            replace(origin, commit_id=commit_id),
        )
        return done.reply

    async def _claim(self, requests: str, fingerprint: str, origin: Origin) -> Done[None]:
        def claim(draft: Draft) -> None:
            draft.decide(requests, Receive(fingerprint=fingerprint, at=draft.at))

        return await self._writer.transact(requests, claim, origin)


def _once(draft: Draft, answers: str, decide: Decide, path: str) -> HttpAnswer:
    """The kept answer if there is one, else the decision's, kept in the same commit."""
    kept = kept_answer(draft.state(answers), draft.at)
    if kept is not None:
        return _parse(kept)
    try:
        answer = decide(draft)
    except Refusal as refusal:
        draft.discard()
        answer = refusal_answer(refusal, path)
    draft.decide(answers, KeepAnswer(answer=_render(answer), at=draft.at))
    return answer


def _render(answer: HttpAnswer) -> str:
    content = {"status": answer.status, "body": answer.body.decode(), "headers": dict(answer.headers)}
    return json.dumps(content, ensure_ascii=False)


def _parse(text: str) -> HttpAnswer:
    content = json.loads(text)
    return HttpAnswer(status=content["status"], body=content["body"].encode(), headers=content["headers"])
