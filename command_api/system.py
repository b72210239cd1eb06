"""What our own workers conclude, as commands to accounts."""

from command_api.answers import position_header
from command_api.calls import Call
from command_api.executor import Executor
from domain.account_commands import ReportMailBounced
from domain.refusals import UnknownAccount
from events.streams import account_stream, is_id
from eventstore.writer import Draft
from runtime.serving.answers import HttpAnswer, empty_answer


class SystemCommands:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def report_mail_bounced(
        self, call: Call, account_id: str, *, message_id: str, kind: str
    ) -> HttpAnswer:
        stream = _stream_of(account_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, ReportMailBounced(message_id=message_id, kind=kind, at=draft.at))
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(call, stream, decide)


def _stream_of(account_id: str) -> str:
    if not is_id(account_id):
        raise UnknownAccount
    return account_stream(account_id)
