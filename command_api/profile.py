"""What a signed-in person changes about the account: password and display name."""

from command_api.answers import position_header, refusal_answer
from command_api.callers import Person, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from command_api.password_proof import PasswordProof
from domain.account_commands import Attend, ChangePassword, ChangeProfile, LockOut
from domain.refusals import WrongPassword
from domain.values import MIN_PASSWORD_CHARACTERS_BESIDE_FACTOR, is_short, parse_display_name, parse_password
from events.account import PasswordChanged
from events.streams import account_stream
from eventstore.writer import Draft
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer, empty_answer


class Profile:
    def __init__(
        self, executor: Executor, proof: PasswordProof, passwords: PasswordPool, lock_out: LockOut
    ) -> None:
        self._executor = executor
        self._proof = proof
        self._passwords = passwords
        self._lock_out = lock_out

    async def change_password(self, call: Call, person: Person, current: str, new: str) -> HttpAnswer:
        parsed = parse_password(new, minimum=MIN_PASSWORD_CHARACTERS_BESIDE_FACTOR)
        call = await self._executor.settle(acting_as(call, person), account_stream(person.account_id))
        new_hash = await self._passwords.hash(parsed)

        def decide(draft: Draft, is_right: bool) -> HttpAnswer:  # noqa: FBT001  # the proof's verdict
            change = ChangePassword(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                password_hash=new_hash,
                is_short=is_short(parsed),
                lock_out=self._lock_out,
                at=draft.at,
            )
            changed = draft.decide(account_stream(person.account_id), change)
            if not any(isinstance(event, PasswordChanged) for event in changed):
                return refusal_answer(WrongPassword(), call.path)
            return empty_answer(204, position_header(draft.position))

        return await self._proof.run(call, person, current, decide)

    async def change_profile(self, call: Call, person: Person, display_name: str | None) -> HttpAnswer:
        name = None if display_name is None else parse_display_name(display_name)
        stream = account_stream(person.account_id)

        def decide(draft: Draft) -> HttpAnswer:
            if name is None:
                draft.decide(stream, Attend(acting_session_id=person.session_id, at=draft.at))
            else:
                change = ChangeProfile(acting_session_id=person.session_id, display_name=name, at=draft.at)
                draft.decide(stream, change)
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, person), stream, decide)
