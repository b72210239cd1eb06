"""Sign-in with a passkey alone: it says whose it is, and it verified its user. Whatever is wrong gets one answer."""

from command_api.answers import refusal_answer
from command_api.calls import Call
from command_api.executor import Executor
from command_api.new_sessions import NewSessions
from command_api.passkey_proof import PasskeyProof
from command_api.passkey_rules import Passkeys, parse_assertion
from command_api.passkey_schemas import PasskeyBody
from domain.account_state import Absent
from domain.factor_commands import PasskeyAnswer, SignInWithPasskey
from domain.refusals import WrongPasskey
from events.account import SessionStarted
from events.streams import account_stream, is_id
from eventstore.writer import Draft
from runtime.clock import Clock
from runtime.encoding import base32
from runtime.serving.answers import HttpAnswer, json_answer


class PasskeySignIn:
    def __init__(
        self, executor: Executor, proof: PasskeyProof, passkeys: Passkeys, sessions: NewSessions, clock: Clock
    ) -> None:
        self._executor = executor
        self._proof = proof
        self._passkeys = passkeys
        self._sessions = sessions
        self._clock = clock

    async def options(self, call: Call) -> HttpAnswer:
        """Nothing is written, but for a call that is to be answered alike when it is repeated."""
        if call.key is None:
            return json_answer(200, self._passkeys.sign_in_options(self._clock()))
        return await self._executor.run(
            call,
            self._passkeys.kept_in(call.key),
            lambda draft: json_answer(200, self._passkeys.sign_in_options(draft.at)),
        )

    async def sign_in(self, call: Call, body: PasskeyBody) -> HttpAnswer:
        assertion = parse_assertion(body)
        refused = refusal_answer(WrongPasskey(), call.path)
        if assertion is None or assertion.user_handle is None:
            return refused
        account_id = base32(assertion.user_handle)
        claimed = self._passkeys.claimed("sign-in", assertion.client_data)
        if claimed is None or not is_id(account_id):
            return refused
        account, session = account_stream(account_id), self._sessions.asked_for(account_id)

        def decide(draft: Draft, answer: PasskeyAnswer) -> HttpAnswer:
            if isinstance(draft.state(account), Absent):
                return refused  # nobody's failure, and anybody can think of an account's id
            command = SignInWithPasskey(
                challenge_id=claimed.named.challenge_id,
                challenge_expires_at=claimed.named.expires_at,
                answer=answer,
                session=session,
                origin=self._sessions.origin(call, draft),
                at=draft.at,
            )
            if isinstance(draft.decide(account, command)[-1], SessionStarted):
                return self._sessions.signed_in(draft, account_id, session.session_id)
            return refused

        return await self._proof.run(call, account_id, assertion, claimed.raw, decide)
