"""Sign-in with a password. Unknown, unproven, shut, locked and wrong all cost one hash, one commit, one answer.

The decision is the account's: an address that it merely holds, and that is not its own now, opens nothing. Where a
second factor is needed, the answer is a challenge that `second_step` takes on.
"""

from dataclasses import dataclass
from datetime import timedelta

from command_api.answers import refusal_answer
from command_api.calls import Call
from command_api.challenges import Challenges
from command_api.email_address import EmailAddress
from command_api.executor import Executor
from command_api.holders import identifier_of, run_for_holder
from command_api.new_sessions import NewSessions
from domain import account_commands as account
from domain.account_commands import LockOut, NewSession
from domain.account_state import Active
from domain.identifier import FailUnknownSignIn, Identifier
from domain.refusals import InvalidCredentials, InvalidEmail
from domain.values import normalise_password
from events.account import SessionStarted
from events.factors import SignInChallenged
from events.streams import account_stream, new_id
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Writer
from runtime.keys import DerivedKeys
from runtime.passwords import PasswordPool
from runtime.serving.answers import HttpAnswer

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a password was checked against: the decision holds only while this is still so."""

    account_id: str | None = None
    revision: int = 0
    password_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRules:
    lock_out: LockOut
    challenge_lifetime: timedelta
    sessions: NewSessions
    challenges: Challenges


class SignIn:
    def __init__(
        self,
        executor: Executor,
        writer: Writer,
        passwords: PasswordPool,
        keys: DerivedKeys,
        rules: SignInRules,
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._passwords = passwords
        self._keys = keys
        self._rules = rules

    async def sign_in(self, call: Call, email: str, password: str) -> HttpAnswer:
        identifier = self._identifier(email)
        call = await self._executor.settle(call, identifier)
        for _ in range(_TRIES):
            basis = await self._basis(identifier)
            is_right = await self._passwords.verify(basis.password_hash, normalise_password(password))
            try:
                decision = self._decision(call, identifier, basis, is_right=is_right)
                return await run_for_holder(self._executor, call, identifier, decision)
            except StaleBasisError:
                continue
        raise StaleBasisError("the password changed while it was checked")

    def _identifier(self, email: str) -> str:
        """The address's stream; what is no address has one too, so that it fails like any unknown one."""
        try:
            canonical = EmailAddress.parse(email).canonical
        except InvalidEmail:
            canonical = "not an address: " + email
        return identifier_of(self._keys.pepper, canonical)

    async def _basis(self, identifier: str) -> Basis:
        held: Identifier = await self._writer.state(identifier)
        if held.holder is None:
            return Basis()
        return _basis_of(held.holder, await self._writer.state(account_stream(held.holder)))

    def _decision(self, call: Call, identifier: str, basis: Basis, *, is_right: bool) -> "SignInDecision":
        return SignInDecision(
            call=call,
            identifier=identifier,
            basis=basis,
            is_right=is_right,
            session=self._rules.sessions.asked_for(basis.account_id or ""),
            challenge_id=new_id(),
            rules=self._rules,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInDecision:
    """The decision itself, ready to be taken as often as the log asks for it."""

    call: Call
    identifier: str
    basis: Basis
    is_right: bool
    session: NewSession
    challenge_id: str
    rules: SignInRules

    def __call__(self, draft: Draft, account_id: str | None) -> HttpAnswer:
        if account_id is None:
            self._require(Basis())
            draft.decide(self.identifier, FailUnknownSignIn())
            return refusal_answer(InvalidCredentials(), self.call.path)
        stream = account_stream(account_id)
        self._require(_basis_of(account_id, draft.state(stream)))
        command = account.SignIn(
            identifier=self.identifier,
            is_password_right=self.is_right,
            challenge_id=self.challenge_id,
            challenge_lifetime=self.rules.challenge_lifetime,
            session=self.session,
            origin=self.rules.sessions.origin(self.call, draft),
            lock_out=self.rules.lock_out,
            at=draft.at,
        )
        match draft.decide(stream, command)[-1]:
            case SessionStarted():
                return self.rules.sessions.signed_in(draft, account_id, self.session.session_id)
            case SignInChallenged() as challenged:
                return self.rules.challenges.answer(draft, account_id, challenged)
            case _:
                return refusal_answer(InvalidCredentials(), self.call.path)

    def _require(self, present: Basis) -> None:
        if present != self.basis:
            raise StaleBasisError("the password was checked against an older state")


def _basis_of(account_id: str, state: object) -> Basis:
    if not isinstance(state, Active):
        return Basis(account_id=account_id)
    return Basis(account_id=account_id, revision=state.password.revision, password_hash=state.password.hash)
