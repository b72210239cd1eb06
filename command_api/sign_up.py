"""Sign-up: register, prove the address with a mailed code, ask for the code again.

Whether an address is known changes neither the answer nor the work: a key is stored, a password hashed and
a commit appended in every case.
"""

from dataclasses import dataclass
from datetime import timedelta

from command_api.answers import position_header, refusal_answer
from command_api.calls import Call
from command_api.email_address import EmailAddress
from command_api.executor import Executor
from command_api.holders import identifier_of, run_for_holder
from domain.account_commands import (
    DiscardRegistration,
    Register,
    RepeatSignUp,
    RequestVerification,
    VerifyEmail,
)
from domain.identifier import Claim, Identifier, PresentCode, RenewChallenges, Reserve
from domain.refusals import InvalidCode
from domain.values import parse_display_name, parse_password
from events.account import DiscardCause, SignUpPolicy
from events.fact import Event
from events.identifier import ChallengeRenewed, CodeRejected, ReservationDropped
from events.streams import account_stream, new_id, slot_of
from eventstore.keyring import Keyring
from eventstore.writer import Draft
from runtime.codes import is_code, matches_code
from runtime.keys import DerivedKeys
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer, json_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUpRules:
    policy: SignUpPolicy
    code_lifetime: timedelta
    code_failures: int
    pending_registrations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registration:
    """One sign-up attempt: its ids are fixed before the decision, however often that is taken."""

    identifier: str
    account_id: str
    challenge_id: str
    notice_id: str
    email: str
    display_name: str | None
    password_hash: str


class SignUp:
    def __init__(
        self,
        executor: Executor,
        keyring: Keyring,
        passwords: PasswordPool,
        keys: DerivedKeys,
        rules: SignUpRules,
    ) -> None:
        self._executor = executor
        self._keyring = keyring
        self._passwords = passwords
        self._keys = keys
        self._rules = rules

    async def register(self, call: Call, email: str, password: str, display_name: str | None) -> HttpAnswer:
        address = EmailAddress.parse(email)
        name = None if display_name is None else parse_display_name(display_name)
        parsed = parse_password(password)
        identifier = identifier_of(self._keys.pepper, address.canonical)
        call = await self._executor.settle(call, identifier)
        registration = _Registration(
            identifier=identifier,
            account_id=new_id(slot_of(identifier)),
            challenge_id=new_id(),
            notice_id=new_id(),
            email=address.stored,
            display_name=name,
            password_hash=await self._passwords.hash(parsed),
        )
        await self._keyring.key_for(account_stream(registration.account_id))
        if self._rules.policy == "open":
            return await self._executor.run(
                call, identifier, lambda draft: self._register_open(draft, registration)
            )
        return await run_for_holder(
            self._executor,
            call,
            identifier,
            lambda draft, holder: self._register_unproven(draft, registration, holder),
        )

    async def verify(self, call: Call, email: str, code: str) -> HttpAnswer:
        identifier = identifier_of(self._keys.pepper, EmailAddress.parse(email).canonical)
        if not is_code(code):
            return refusal_answer(InvalidCode(), call.path)
        return await self._executor.run(
            call, identifier, lambda draft: self._verify(draft, call, identifier, code)
        )

    async def resend(self, call: Call, email: str) -> HttpAnswer:
        identifier = identifier_of(self._keys.pepper, EmailAddress.parse(email).canonical)
        challenge_ids = tuple(new_id() for _ in range(self._rules.pending_registrations))
        return await self._executor.run(
            call, identifier, lambda draft: self._resend(draft, identifier, challenge_ids)
        )

    def _register_open(self, draft: Draft, registration: _Registration) -> HttpAnswer:
        expires_at = draft.at + self._rules.code_lifetime
        claim = Claim(
            account_id=registration.account_id,
            challenge_id=registration.challenge_id,
            code_expires_at=expires_at,
        )
        claimed = draft.decide(registration.identifier, claim)
        self._register(draft, registration)
        _discard(draft, claimed, "superseded")
        content = {"account_id": registration.account_id, "position": str(draft.position)}
        return json_answer(201, content, position_header(draft.position))

    def _register_unproven(self, draft: Draft, registration: _Registration, holder: str | None) -> HttpAnswer:
        if holder is None:
            reserve = Reserve(
                account_id=registration.account_id,
                challenge_id=registration.challenge_id,
                code_expires_at=draft.at + self._rules.code_lifetime,
                limit=self._rules.pending_registrations,
            )
            reserved = draft.decide(registration.identifier, reserve)
            self._register(draft, registration)
            _discard(draft, reserved, "superseded")
        else:
            repeat = RepeatSignUp(notice_id=registration.notice_id, identifier=registration.identifier)
            draft.decide(account_stream(holder), repeat)
        return json_answer(202, {"status": "verification_sent"})

    def _register(self, draft: Draft, registration: _Registration) -> None:
        register = Register(
            account_id=registration.account_id,
            identifier=registration.identifier,
            policy=self._rules.policy,
            email=registration.email,
            display_name=registration.display_name,
            password_hash=registration.password_hash,
            challenge_id=registration.challenge_id,
            code_expires_at=draft.at + self._rules.code_lifetime,
            at=draft.at,
        )
        draft.decide(account_stream(registration.account_id), register)

    def _verify(self, draft: Draft, call: Call, identifier: str, code: str) -> HttpAnswer:
        state: Identifier = draft.state(identifier)
        matching = [r for r in state.waiting if self._is_code_of(r.challenge_id, code)]
        present = PresentCode(
            matching_account_id=matching[0].account_id if matching else None,
            limit=self._rules.code_failures,
            at=draft.at,
        )
        outcome = draft.decide(identifier, present)
        if isinstance(outcome[0], CodeRejected):
            return refusal_answer(InvalidCode(), call.path)
        proven = matching[0]
        draft.decide(account_stream(proven.account_id), VerifyEmail(challenge_id=proven.challenge_id))
        _discard(draft, outcome, "other-verified")
        content = {"account_id": proven.account_id, "position": str(draft.position)}
        return json_answer(200, content, position_header(draft.position))

    def _is_code_of(self, challenge_id: str, code: str) -> bool:
        return matches_code(self._keys.code_key, "verify-email", challenge_id, code)

    def _resend(self, draft: Draft, identifier: str, challenge_ids: tuple[str, ...]) -> HttpAnswer:
        expires_at = draft.at + self._rules.code_lifetime
        renew = RenewChallenges(challenge_ids=challenge_ids, code_expires_at=expires_at)
        for event in draft.decide(identifier, renew):
            if isinstance(event, ChallengeRenewed):
                request = RequestVerification(challenge_id=event.challenge_id, code_expires_at=expires_at)
                draft.decide(account_stream(event.account_id), request)
        return json_answer(202, {"status": "verification_sent"})


def _discard(draft: Draft, outcome: tuple[Event, ...], cause: DiscardCause) -> None:
    """Registrations that lost their reservation end with it."""
    for event in outcome:
        if isinstance(event, ReservationDropped):
            draft.decide(account_stream(event.account_id), DiscardRegistration(cause=cause))
