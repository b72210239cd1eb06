"""What our own workers conclude, as commands to accounts. What was concluded before changes nothing."""

from command_api.answers import position_header
from command_api.calls import Call
from command_api.executor import Executor
from command_api.schemas import FlagBody, MailBounceBody, NoticeBody, StepUpBody
from domain.account_commands import Command, FlagSession, NotifyOwner, ReportMailBounced, RequireStepUp
from domain.refusals import UnknownAccount
from events.streams import account_stream, is_id
from eventstore.writer import Draft
from runtime.serving.answers import HttpAnswer, empty_answer

Conclusion = MailBounceBody | FlagBody | StepUpBody | NoticeBody


class SystemCommands:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def conclude(self, call: Call, said: Conclusion) -> HttpAnswer:
        if not is_id(said.account_id):
            raise UnknownAccount
        stream = account_stream(said.account_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, _command(said, draft))
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(call, stream, decide)


def _command(said: Conclusion, draft: Draft) -> Command:
    match said:
        case MailBounceBody():
            return ReportMailBounced(message_id=said.message_id, kind=said.kind, at=draft.at)
        case FlagBody():
            return FlagSession(session_id=said.session_id, reason=said.reason, at=draft.at)
        case StepUpBody():
            return RequireStepUp(session_id=said.session_id, reason=said.reason, at=draft.at)
        case NoticeBody():
            return NotifyOwner(notice_id=said.notice_id, reason=said.reason, at=draft.at)
