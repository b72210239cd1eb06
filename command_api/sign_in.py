"""Sign-in with a password. Unknown, unproven, shut, locked and wrong all cost one hash, one commit, one answer.

The decision is the account's: an address that it merely holds, and that is not its own now, opens nothing.
"""

from dataclasses import dataclass, field

from command_api.answers import position_header, refusal_answer
from command_api.callers import PUBLIC_CLIENT
from command_api.calls import Call
from command_api.email_address import EmailAddress
from command_api.executor import Executor
from command_api.holders import identifier_of, run_for_holder
from command_api.sources import source_of
from command_api.tokens import Tokens
from domain import account_commands as account
from domain.account_commands import LockOut, NewSession, Origin
from domain.account_state import Active
from domain.identifier import FailUnknownSignIn, Identifier
from domain.refusals import InvalidCredentials, InvalidEmail
from domain.values import normalise_password
from events.account import SessionStarted
from events.streams import account_stream
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Writer
from runtime.keys import DerivedKeys
from runtime.passwords import PasswordPool
from runtime.refresh_token import new_session_id
from runtime.serving.answers import HttpAnswer, json_answer

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a password was checked against: the decision holds only while this is still so."""

    account_id: str | None = None
    revision: int = 0
    password_hash: str | None = None


class SignIn:
    def __init__(
        self,
        executor: Executor,
        writer: Writer,
        passwords: PasswordPool,
        keys: DerivedKeys,
        tokens: Tokens,
        lock_out: LockOut,
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._passwords = passwords
        self._keys = keys
        self._tokens = tokens
        self._lock_out = lock_out

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
        policy = self._tokens.policy
        session = NewSession(
            session_id=new_session_id(self._keys.session_key, basis.account_id or ""),
            client_id=PUBLIC_CLIENT,
            scope=policy.person_scope,
            idle=policy.refresh_idle,
            absolute=policy.refresh_absolute,
        )
        return SignInDecision(
            call=call,
            identifier=identifier,
            basis=basis,
            is_right=is_right,
            session=session,
            lock_out=self._lock_out,
            tokens=self._tokens,
            source_key=self._keys.source_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInDecision:
    """The decision itself, ready to be taken as often as the log asks for it."""

    call: Call
    identifier: str
    basis: Basis
    is_right: bool
    session: NewSession
    lock_out: LockOut
    tokens: Tokens
    source_key: bytes = field(repr=False)

    def __call__(self, draft: Draft, account_id: str | None) -> HttpAnswer:
        if account_id is None:
            self._require(Basis())
            draft.decide(self.identifier, FailUnknownSignIn())
            return refusal_answer(InvalidCredentials(), self.call.path)
        stream = account_stream(account_id)
        self._require(_basis_of(account_id, draft.state(stream)))
        source = source_of(self.source_key, self.call.ip, draft.at)
        command = account.SignIn(
            identifier=self.identifier,
            is_password_right=self.is_right,
            session=self.session,
            origin=Origin(ip=self.call.ip, user_agent=self.call.user_agent, source=source),
            lock_out=self.lock_out,
            at=draft.at,
        )
        if not any(isinstance(event, SessionStarted) for event in draft.decide(stream, command)):
            return refusal_answer(InvalidCredentials(), self.call.path)
        return self._signed_in(draft, account_id, stream)

    def _signed_in(self, draft: Draft, account_id: str, stream: str) -> HttpAnswer:
        state = draft.state(stream)
        assert isinstance(state, Active)
        session = state.sessions[self.session.session_id]
        content = self.tokens.for_session(session, account_id, session.scope, draft.position)
        return json_answer(201, content, position_header(draft.position))

    def _require(self, present: Basis) -> None:
        if present != self.basis:
            raise StaleBasisError("the password was checked against an older state")


def _basis_of(account_id: str, state: object) -> Basis:
    if not isinstance(state, Active):
        return Basis(account_id=account_id)
    return Basis(account_id=account_id, revision=state.password.revision, password_hash=state.password.hash)
