"""Our own workers as callers: they prove themselves with a stamp, and repeat every command until it is answered.

Whoever saw such a request could send it again for a minute, which is why an Idempotency-Key is required: a repetition
gets the first answer, and nothing happens.
"""

from dataclasses import replace
from typing import Literal, TypeGuard, get_args

from command_api.calls import Call, signed_request
from eventstore.commit import Actor
from runtime.serving.answers import AnswerError, problem
from runtime.serving.forwarded import SYSTEM
from runtime.serving.stamps import verified

Worker = Literal["risk", "mailer"]


class SystemCallers:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def worker_call(self, call: Call) -> Call:
        """The call with its worker as actor; 403 without a good stamp, 400 without an Idempotency-Key."""
        stamp = call.headers.get(SYSTEM.header, "")
        request = verified(stamp, SYSTEM, self._key, signed_request(call))
        if request is None or not _is_worker(request.client):
            title = "This path takes commands of Chancery's own workers only."
            raise AnswerError(problem(403, "not-a-worker", title))
        if call.key is None:
            title = "Commands of workers carry an Idempotency-Key."
            raise AnswerError(problem(400, "bad-idempotency-key", title))
        return replace(call, actor=Actor(kind="system", id=request.client))


def _is_worker(name: str) -> TypeGuard[Worker]:
    return name in get_args(Worker)
