"""A new password for somebody who reads the account's mail.

Whether an address is known changes neither the answers nor the work: one commit for a request; one hash and
one commit for a code. That a password is too short without a second factor is told only to who has the code.
"""

from dataclasses import dataclass
from datetime import timedelta

from command_api.answers import position_header, refusal_answer
from command_api.calls import Call
from command_api.email_address import EmailAddress
from command_api.executor import Executor
from command_api.holders import identifier_of, run_for_holder
from domain.account_commands import RequestPasswordReset, ResetPassword
from domain.account_state import Active
from domain.identifier import IgnoreUnknownReset, RejectUnknownReset
from domain.refusals import InvalidCode
from domain.values import MIN_PASSWORD_CHARACTERS_BESIDE_FACTOR, is_short, parse_password
from events.account import PasswordReset
from events.streams import account_stream, new_id
from eventstore.writer import Draft
from runtime.codes import is_code, matches_code
from runtime.keys import DerivedKeys
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRules:
    """How long a mailed code lives, how many wrong ones kill it, how many mails an hour one account gets."""

    lifetime: timedelta
    failures: int
    mails: int


class PasswordResets:
    def __init__(
        self, executor: Executor, passwords: PasswordPool, keys: DerivedKeys, rules: CodeRules
    ) -> None:
        self._executor = executor
        self._passwords = passwords
        self._keys = keys
        self._rules = rules

    async def request(self, call: Call, email: str) -> HttpAnswer:
        identifier = self._identifier(email)
        challenge_id = new_id()

        def decide(draft: Draft, holder: str | None) -> HttpAnswer:
            if holder is None:
                draft.decide(identifier, IgnoreUnknownReset())
            else:
                request = RequestPasswordReset(
                    identifier=identifier,
                    challenge_id=challenge_id,
                    code_expires_at=draft.at + self._rules.lifetime,
                    mail_limit=self._rules.mails,
                    at=draft.at,
                )
                draft.decide(account_stream(holder), request)
            return json_answer(202, {"status": "reset_sent"})

        return await run_for_holder(self._executor, call, identifier, decide)

    async def confirm(self, call: Call, email: str, code: str, new_password: str) -> HttpAnswer:
        identifier = self._identifier(email)
        parsed = parse_password(new_password, minimum=MIN_PASSWORD_CHARACTERS_BESIDE_FACTOR)
        call = await self._executor.settle(call, identifier)
        password_hash = await self._passwords.hash(parsed)
        if not is_code(code):
            return refusal_answer(InvalidCode(), call.path)

        def decide(draft: Draft, holder: str | None) -> HttpAnswer:
            if holder is None:
                draft.decide(identifier, RejectUnknownReset())
                return refusal_answer(InvalidCode(), call.path)
            reset = ResetPassword(
                identifier=identifier,
                matching_challenge_id=self._matching(draft.state(account_stream(holder)), code),
                password_hash=password_hash,
                is_short=is_short(parsed),
                limit=self._rules.failures,
                at=draft.at,
            )
            done = draft.decide(account_stream(holder), reset)
            if not any(isinstance(event, PasswordReset) for event in done):
                return refusal_answer(InvalidCode(), call.path)
            return empty_answer(204, position_header(draft.position))

        return await run_for_holder(self._executor, call, identifier, decide)

    def _identifier(self, email: str) -> str:
        return identifier_of(self._keys.pepper, EmailAddress.parse(email).canonical)

    def _matching(self, state: object, code: str) -> str | None:
        reset = state.reset if isinstance(state, Active) else None
        if reset is None or not matches_code(self._keys.code_key, "reset-password", reset.challenge_id, code):
            return None
        return reset.challenge_id
