"""The second half of a sign-in: a factor answers the challenge that a right password got.

Whatever is wrong, with the answer or with the challenge, gets one public answer.
"""

from collections.abc import Callable

from command_api.answers import refusal_answer
from command_api.calls import Call
from command_api.executor import Executor
from command_api.passkey_proof import PasskeyProof
from command_api.passkey_rules import Passkeys, parse_assertion
from command_api.passkey_schemas import PasskeyBody
from command_api.sign_in import SignInRules
from domain.account_state import Account, Active
from domain.factor_commands import Answer, AnswerChallenge, RecoveryAnswer, TotpAnswer
from domain.factors import Factors
from domain.refusals import InvalidFactor
from events.account import SessionStarted
from events.streams import account_stream
from eventstore.writer import Draft
from runtime.account_code import AccountCode
from runtime.keys import DerivedKeys
from runtime.recovery_codes import matching_number
from runtime.serving.answers import HttpAnswer
from runtime.totp import matching_step

Judge = Callable[[Factors, Draft], Answer]
"""What an answer is worth against the factors that the account has at the time of the decision."""


class SecondStep:
    def __init__(
        self,
        executor: Executor,
        proof: PasskeyProof,
        passkeys: Passkeys,
        keys: DerivedKeys,
        rules: SignInRules,
    ) -> None:
        self._executor = executor
        self._proof = proof
        self._passkeys = passkeys
        self._recovery_key = keys.recovery_key
        self._rules = rules

    async def with_totp(self, call: Call, challenge: str, code: str) -> HttpAnswer:
        def judge(factors: Factors, draft: Draft) -> TotpAnswer:
            secret = factors.totp.secret if factors.totp else None
            return TotpAnswer(matching_step=matching_step(secret, code, draft.at) if secret else None)

        return await self._answer(call, challenge, judge)

    async def with_recovery_code(self, call: Call, challenge: str, code: str) -> HttpAnswer:
        def judge(factors: Factors, _: Draft) -> RecoveryAnswer:
            codes = factors.recovery_codes
            if codes is None:
                return RecoveryAnswer(set_id="", matching_number=None)
            number = matching_number(self._recovery_key, codes.set_id, codes.left, code)
            return RecoveryAnswer(set_id=codes.set_id, matching_number=number)

        return await self._answer(call, challenge, judge)

    async def with_passkey(self, call: Call, challenge: str, body: PasskeyBody) -> HttpAnswer:
        named, assertion = self._rules.challenges.parse(challenge), parse_assertion(body)
        if named is None or assertion is None:
            return refusal_answer(InvalidFactor(), call.path)
        signed = self._passkeys.second_step_challenge(named.subject_id)
        decide = self._decision(call, named)
        return await self._proof.run(call, named.account_id, assertion, signed, decide)

    async def _answer(self, call: Call, challenge: str, judge: Judge) -> HttpAnswer:
        named = self._rules.challenges.parse(challenge)
        if named is None:
            return refusal_answer(InvalidFactor(), call.path)
        stream, decide = account_stream(named.account_id), self._decision(call, named)

        def judge_and_decide(draft: Draft) -> HttpAnswer:
            return decide(draft, judge(_factors(draft.state(stream)), draft))

        return await self._executor.run(call, stream, judge_and_decide)

    def _decision(self, call: Call, named: AccountCode) -> Callable[[Draft, Answer], HttpAnswer]:
        stream = account_stream(named.account_id)
        session = self._rules.sessions.asked_for(named.account_id)

        def decide(draft: Draft, answer: Answer) -> HttpAnswer:
            command = AnswerChallenge(
                challenge_id=named.subject_id,
                answer=answer,
                session=session,
                origin=self._rules.sessions.origin(call, draft),
                lock_out=self._rules.lock_out,
                at=draft.at,
            )
            if isinstance(draft.decide(stream, command)[-1], SessionStarted):
                return self._rules.sessions.signed_in(draft, named.account_id, session.session_id)
            return refusal_answer(InvalidFactor(), call.path)

        return decide


def _factors(state: Account) -> Factors:
    return state.factors if isinstance(state, Active) else Factors()
