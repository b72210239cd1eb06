"""What an administrator does to an account: disable, enable, unlock, sign out everywhere."""

from collections.abc import Mapping
from typing import Literal

from command_api.answers import position_header
from command_api.callers import Admin, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from domain.account_commands import DisableAccount, EnableAccount, SignOutAccount, UnlockAccount
from domain.refusals import UnknownAccount
from events.streams import account_stream, is_id
from eventstore.writer import Draft
from runtime.serving.answers import HttpAnswer, empty_answer

Verb = Literal["disable", "enable", "unlock"]

_COMMANDS: Mapping[Verb, type[DisableAccount | EnableAccount | UnlockAccount]] = {
    "disable": DisableAccount,
    "enable": EnableAccount,
    "unlock": UnlockAccount,
}


class AdminAccounts:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def change(self, call: Call, admin: Admin, account_id: str, verb: Verb) -> HttpAnswer:
        """Doing it twice is the same as once."""
        stream = _stream_of(account_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, _COMMANDS[verb](at=draft.at))
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, admin), stream, decide)

    async def sign_out(self, call: Call, admin: Admin, account_id: str) -> HttpAnswer:
        stream = _stream_of(account_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, SignOutAccount())
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, admin), stream, decide)


def _stream_of(account_id: str) -> str:
    if not is_id(account_id):
        raise UnknownAccount
    return account_stream(account_id)
