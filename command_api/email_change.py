"""Another e-mail address: asked for with the password, proven by a code, undone from the old one for a while.

The new address usually lives in another partition. It is claimed there first, with an errand that takes the
claim back; then the account changes in one commit, which also keeps the answer of a repeated request.
Whether the new address is known shows nowhere: neither in the answers nor in what they cost.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from command_api.answers import position_header, refusal_answer
from command_api.callers import Person, acting_as
from command_api.calls import Call
from command_api.email_address import EmailAddress
from command_api.errands import ErrandRunner, addresses_of, claim_errand, hold_errand
from command_api.executor import Executor
from command_api.holders import identifier_of
from command_api.password_proof import PasswordProof
from command_api.password_reset import CodeRules
from domain.account_commands import (
    AbandonEmailChange,
    Attend,
    ChangeEmail,
    DiscardRegistration,
    LockOut,
    RequestEmailChange,
    UndoEmailChange,
)
from domain.account_state import Account, Active
from domain.addresses import EmailChange, can_be_confirmed, given_back
from domain.identifier import ClaimByChange, Identifier
from domain.refusals import EmailTaken, InvalidCode, WrongPassword
from events.account import PasswordRejected
from events.email_change import EmailChanged
from events.identifier import ReservationDropped
from events.streams import account_stream, new_id
from eventstore.commit import Actor
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Origin, Writer
from runtime.account_code import UNDO, parse_account_code
from runtime.codes import is_code, matches_code
from runtime.keys import DerivedKeys
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeRules:
    """`settle` is how long a claim waits for its change before it is taken back."""

    codes: CodeRules
    lock_out: LockOut
    undo: timedelta
    settle: timedelta = timedelta(seconds=10)


class ClaimNeededError(StaleBasisError):
    """The code is right; before the account may change, the new address must be claimed where it lives."""

    def __init__(self, change: EmailChange) -> None:
        super().__init__("the new address is not claimed yet")
        self.change = change


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """How the claim of a change ended."""

    change_id: str
    is_ours: bool


class EmailChanges:
    def __init__(
        self,
        executor: Executor,
        writer: Writer,
        proof: PasswordProof,
        errands: ErrandRunner,
        keys: DerivedKeys,
        rules: EmailChangeRules,
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._proof = proof
        self._errands = errands
        self._keys = keys
        self._rules = rules

    async def request(self, call: Call, person: Person, new_email: str, password: str) -> HttpAnswer:
        address = EmailAddress.parse(new_email)
        identifier = identifier_of(self._keys.pepper, address.canonical)
        held: Identifier = await self._writer.state(identifier)
        change_id = new_id()

        def decide(draft: Draft, is_right: bool) -> HttpAnswer:  # noqa: FBT001  # the proof's verdict
            request = RequestEmailChange(
                acting_session_id=person.session_id,
                is_password_right=is_right,
                change_id=change_id,
                identifier=identifier,
                email=address.stored,
                is_taken=held.holder not in (None, person.account_id),
                code_expires_at=draft.at + self._rules.codes.lifetime,
                mail_limit=self._rules.codes.mails,
                lock_out=self._rules.lock_out,
                at=draft.at,
            )
            events = draft.decide(account_stream(person.account_id), request)
            if any(isinstance(event, PasswordRejected) for event in events):
                return refusal_answer(WrongPassword(), call.path)
            return json_answer(202, {"status": "verification_sent"}, position_header(draft.position))

        return await self._proof.run(call, person, password, decide)

    async def confirm(self, call: Call, person: Person, code: str) -> HttpAnswer:
        acting, stream = acting_as(call, person), account_stream(person.account_id)
        claim: _Claim | None = None
        for _ in range(_TRIES):
            decide = partial(self._confirm, call=acting, person=person, code=code, claim=claim)
            try:
                return await self._executor.run(acting, stream, decide)
            except ClaimNeededError as needed:
                claim = await self._claim(person.account_id, needed.change, call.trace)
        raise StaleBasisError("the change was replaced while it was confirmed")

    async def undo(self, call: Call, code: str) -> HttpAnswer:
        named = parse_account_code(UNDO, self._keys.undo_key, code)
        if named is None:
            return refusal_answer(InvalidCode(), call.path)
        stream = account_stream(named.account_id)

        def decide(draft: Draft) -> HttpAnswer:
            before = addresses_of(draft.state(stream))
            draft.decide(stream, UndoEmailChange(change_id=named.subject_id, at=draft.at))
            after = addresses_of(draft.state(stream))
            assert before is not None
            assert after is not None
            self._errands.open_releases(draft, named.account_id, given_back(before, after))
            return empty_answer(204, position_header(draft.position))

        actor = Actor(kind="account", id=named.account_id)
        return await self._executor.run(replace(call, actor=actor), stream, decide)

    def _confirm(
        self, draft: Draft, call: Call, person: Person, code: str, claim: _Claim | None
    ) -> HttpAnswer:
        stream = account_stream(person.account_id)
        draft.decide(stream, Attend(acting_session_id=person.session_id, at=draft.at))
        change = self._matching(draft.state(stream), code)
        if change is not None and can_be_confirmed(change, limit=self._rules.codes.failures, at=draft.at):
            if claim is None or claim.change_id != change.change_id:
                raise ClaimNeededError(change)
            if not claim.is_ours:
                draft.decide(stream, AbandonEmailChange(change_id=change.change_id, cause="taken"))
                return refusal_answer(InvalidCode(), call.path)
        command = ChangeEmail(
            acting_session_id=person.session_id,
            matching_change_id=change.change_id if change else None,
            limit=self._rules.codes.failures,
            undo_until=draft.at + self._rules.undo,
            at=draft.at,
        )
        (first, *_) = draft.decide(stream, command)
        if not isinstance(first, EmailChanged):
            return refusal_answer(InvalidCode(), call.path)
        left = hold_errand(person.account_id, first.identifier, first.change_id, first.undo_until)
        self._errands.open(draft, stream, left)
        return empty_answer(204, position_header(draft.position))

    def _matching(self, state: Account, code: str) -> EmailChange | None:
        change = state.addresses.change if isinstance(state, Active) else None
        if change is None or not is_code(code):
            return None
        return change if matches_code(self._keys.code_key, "change-email", change.change_id, code) else None

    async def _claim(self, account_id: str, change: EmailChange, trace: str) -> _Claim:
        def claim(draft: Draft) -> bool:
            wanted = ClaimByChange(account_id=account_id, change_id=change.change_id)
            try:
                claimed = draft.decide(change.identifier, wanted)
            except EmailTaken:
                return False
            for event in claimed:
                if isinstance(event, ReservationDropped):
                    draft.decide(
                        account_stream(event.account_id), DiscardRegistration(cause="other-verified")
                    )
            if claimed:
                due_at = draft.at + self._rules.settle
                left = claim_errand(account_id, change.identifier, change.change_id, due_at)
                self._errands.open(draft, change.identifier, left)
            return True

        origin = Origin(actor=Actor(kind="account", id=account_id), trace=trace)
        done = await self._writer.transact(change.identifier, claim, origin)
        return _Claim(change_id=change.change_id, is_ours=done.reply)
