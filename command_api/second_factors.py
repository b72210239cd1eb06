"""How a signed-in person enrols an authenticator app, and gets recovery codes beside any factor."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from command_api.answers import position_header, refusal_answer
from command_api.callers import Person, acting_within
from command_api.calls import Call
from command_api.executor import Executor
from command_api.password_proof import PasswordProof
from domain.account_commands import LockOut
from domain.account_state import Account, Active
from domain.factor_commands import ConfirmTotp, IssueRecoveryCodes, RemoveTotp, StartTotp
from domain.factors import RECOVERY_CODES, WaitingTotp
from domain.refusals import WrongPassword
from events.account import PasswordRejected
from events.streams import account_stream, new_id
from eventstore.writer import Draft, Writer
from runtime.keys import DerivedKeys
from runtime.recovery_codes import recovery_code
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer
from runtime.totp import matching_step, new_secret, otpauth_uri, qr_svg


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRules:
    """`recent` is how long ago a session may have begun that adds a factor."""

    issuer: str
    enrolment: timedelta
    recent: timedelta
    lock_out: LockOut


class SecondFactors:
    def __init__(
        self,
        executor: Executor,
        writer: Writer,
        proof: PasswordProof,
        keys: DerivedKeys,
        rules: FactorRules,
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._proof = proof
        self._recovery_key = keys.recovery_key
        self._rules = rules

    async def start_totp(self, call: Call, person: Person) -> HttpAnswer:
        """The picture is drawn before, beside the event loop: it takes as long as ten decisions."""
        stream = account_stream(person.account_id)
        call = await self._executor.settle(acting_within(call, person), stream)
        secret, enrolment_id = new_secret(), new_id()
        label = _label(await self._writer.state(stream), person)
        uri = otpauth_uri(secret, account=label, issuer=self._rules.issuer)
        picture = await asyncio.to_thread(qr_svg, uri)

        def decide(draft: Draft) -> HttpAnswer:
            start = StartTotp(
                acting_session_id=person.session_id,
                enrolment_id=enrolment_id,
                secret=secret,
                expires_at=draft.at + self._rules.enrolment,
                recent=self._rules.recent,
                at=draft.at,
            )
            draft.decide(stream, start)
            content = {
                "secret": secret,
                "otpauth_uri": uri,
                "qr_svg": picture,
                "expires_in": round(self._rules.enrolment.total_seconds()),
                "position": str(draft.position),
            }
            return json_answer(201, content, position_header(draft.position))

        return await self._executor.run(call, stream, decide)

    async def confirm_totp(self, call: Call, person: Person, code: str) -> HttpAnswer:
        stream = account_stream(person.account_id)
        set_id = new_id()

        def decide(draft: Draft) -> HttpAnswer:
            waiting = _waiting(draft.state(stream))
            secret = waiting.secret if waiting else None
            confirm = ConfirmTotp(
                acting_session_id=person.session_id,
                enrolment_id=waiting.enrolment_id if waiting else None,
                matching_step=matching_step(secret, code, draft.at) if secret else None,
                set_id=set_id,
                recent=self._rules.recent,
                at=draft.at,
            )
            draft.decide(stream, confirm)
            return self._codes(draft, set_id)

        return await self._executor.run(acting_within(call, person), stream, decide)

    async def remove_totp(self, call: Call, person: Person, password: str) -> HttpAnswer:
        def decide(draft: Draft, is_right: bool) -> HttpAnswer:  # noqa: FBT001  # the proof's verdict
            remove = RemoveTotp(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                lock_out=self._rules.lock_out,
                at=draft.at,
            )
            events = draft.decide(account_stream(person.account_id), remove)
            if any(isinstance(event, PasswordRejected) for event in events):
                return refusal_answer(WrongPassword(), call.path)
            return empty_answer(204, position_header(draft.position))

        return await self._proof.run(acting_within(call, person), person, password, decide)

    async def issue_recovery_codes(self, call: Call, person: Person, password: str) -> HttpAnswer:
        set_id = new_id()

        def decide(draft: Draft, is_right: bool) -> HttpAnswer:  # noqa: FBT001  # the proof's verdict
            issue = IssueRecoveryCodes(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                set_id=set_id,
                lock_out=self._rules.lock_out,
                at=draft.at,
            )
            events = draft.decide(account_stream(person.account_id), issue)
            if any(isinstance(event, PasswordRejected) for event in events):
                return refusal_answer(WrongPassword(), call.path)
            return self._codes(draft, set_id)

        return await self._proof.run(acting_within(call, person), person, password, decide)

    def _codes(self, draft: Draft, set_id: str) -> HttpAnswer:
        codes = [recovery_code(self._recovery_key, set_id, number) for number in range(RECOVERY_CODES)]
        content = {"recovery_codes": codes, "position": str(draft.position)}
        return json_answer(200, content, position_header(draft.position))


def _label(state: Account, person: Person) -> str:
    """The name that an authenticator app shows: the account's address."""
    return (state.email if isinstance(state, Active) else None) or person.account_id


def _waiting(state: Account) -> WaitingTotp | None:
    return state.factors.waiting_totp if isinstance(state, Active) else None
