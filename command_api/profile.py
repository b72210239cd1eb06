"""What a signed-in person changes about the account: password and display name."""

from command_api.answers import position_header, refusal_answer
from command_api.callers import Person, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from domain.account_commands import Attend, ChangePassword, ChangeProfile, LockOut
from domain.account_state import Active
from domain.refusals import WrongPassword
from domain.values import normalise_password, parse_display_name, parse_password
from events.account import PasswordChanged
from events.streams import account_stream
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Writer
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer, empty_answer

_TRIES = 3


class Profile:
    def __init__(
        self, executor: Executor, writer: Writer, passwords: PasswordPool, lock_out: LockOut
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._passwords = passwords
        self._lock_out = lock_out

    async def change_password(self, call: Call, person: Person, current: str, new: str) -> HttpAnswer:
        password = parse_password(new)
        new_hash = await self._passwords.hash(password)
        for _ in range(_TRIES):
            try:
                return await self._change_password(call, person, normalise_password(current), new_hash)
            except StaleBasisError:
                continue
        raise StaleBasisError("the password changed while it was checked")

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

    async def _change_password(self, call: Call, person: Person, current: str, new_hash: str) -> HttpAnswer:
        stream = account_stream(person.account_id)
        state = self._writer.state(stream)
        checked = state.password if isinstance(state, Active) else None
        is_right = await self._passwords.verify(checked.hash if checked else None, current)

        def decide(draft: Draft) -> HttpAnswer:
            present = draft.state(stream)
            if (present.password if isinstance(present, Active) else None) != checked:
                raise StaleBasisError("the password was checked against an older state")
            change = ChangePassword(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                password_hash=new_hash,
                lock_out=self._lock_out,
                at=draft.at,
            )
            changed = draft.decide(stream, change)
            if not any(isinstance(event, PasswordChanged) for event in changed):
                return refusal_answer(WrongPassword(), call.path)
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, person), stream, decide)
