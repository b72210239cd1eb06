"""Whatever a signed-in person confirms with the password: checked off the log, decided only if it still holds."""

from collections.abc import Callable

from command_api.callers import Person, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from domain.account_state import Active
from domain.values import normalise_password
from events.streams import account_stream
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Writer
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer

_TRIES = 3

DecideWithProof = Callable[[Draft, bool], HttpAnswer]
"""A decision that knows whether the password was right."""


class PasswordProof:
    def __init__(self, executor: Executor, writer: Writer, passwords: PasswordPool) -> None:
        self._executor = executor
        self._writer = writer
        self._passwords = passwords

    async def run(self, call: Call, person: Person, password: str, decide: DecideWithProof) -> HttpAnswer:
        acting = await self._executor.settle(acting_as(call, person), account_stream(person.account_id))
        for _ in range(_TRIES):
            try:
                return await self._run(acting, person, normalise_password(password), decide)
            except StaleBasisError:
                continue
        raise StaleBasisError("the password changed while it was checked")

    async def _run(self, call: Call, person: Person, password: str, decide: DecideWithProof) -> HttpAnswer:
        stream = account_stream(person.account_id)
        state = await self._writer.state(stream)
        checked = state.password if isinstance(state, Active) else None
        is_right = await self._passwords.verify(checked.hash if checked else None, password)

        def decide_if_unchanged(draft: Draft) -> HttpAnswer:
            present = draft.state(stream)
            if (present.password if isinstance(present, Active) else None) != checked:
                raise StaleBasisError("the password was checked against an older state")
            return decide(draft, is_right)

        return await self._executor.run(call, stream, decide_if_unchanged)
