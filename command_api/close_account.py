"""Closing one's own account: at once for everybody, erased after the grace period."""

from datetime import timedelta

from command_api.answers import position_header, refusal_answer
from command_api.callers import Person
from command_api.calls import Call
from command_api.password_proof import PasswordProof
from domain.account_commands import CloseAccount, LockOut
from domain.refusals import WrongPassword
from events.account import AccountClosed
from events.streams import account_stream
from eventstore.writer import Draft
from runtime.clock import rfc3339
from runtime.serving.answers import HttpAnswer, json_answer


class Closing:
    def __init__(self, proof: PasswordProof, lock_out: LockOut, grace: timedelta) -> None:
        self._proof = proof
        self._lock_out = lock_out
        self._grace = grace

    async def close(self, call: Call, person: Person, password: str) -> HttpAnswer:
        def decide(draft: Draft, is_right: bool) -> HttpAnswer:  # noqa: FBT001  # the proof's verdict
            erase_after = draft.at + self._grace
            close = CloseAccount(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                erase_after=erase_after,
                lock_out=self._lock_out,
                at=draft.at,
            )
            closed = draft.decide(account_stream(person.account_id), close)
            if not any(isinstance(event, AccountClosed) for event in closed):
                return refusal_answer(WrongPassword(), call.path)
            content = {
                "status": "closed",
                "erase_after": rfc3339(erase_after),
                "position": str(draft.position),
            }
            return json_answer(202, content, position_header(draft.position))

        return await self._proof.run(call, person, password, decide)
