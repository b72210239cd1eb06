"""What clients ask for. Each kind says what it does through the write side, and what a simple model answers.

An operation with a key may be repeated until it is answered; one without must not be repeated when its outcome is
unknown.
"""

import abc
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from command_api.answers import POSITION_HEADER, position_header
from command_api.calls import Call
from domain.account_commands import LockOut, NewSession, Refresh, SignIn
from domain.account_commands import Origin as Place
from domain.identifier import Claim, PresentCode, Release, Reserve
from domain.refusals import EmailTaken, InvalidGrant, Refusal
from events.account import RefreshReused, SignInFailed
from events.streams import account_stream
from eventstore.commit import Actor, Position
from eventstore.writer import Draft, Origin
from runtime.serving.answers import HttpAnswer, json_answer
from tests.simulation.history import Outcome, Reply
from tests.simulation.model import Model
from tests.simulation.replica import Replica
from tests.simulation.template import Inhabitant
from tests.support.examples import ABSOLUTE, IDLE, MINUTE
from tests.support.saga import CODES

_ACTOR = Actor(kind="system", id="client")
GRACE = timedelta(days=2)
LOCK_OUT = LockOut(failures=3, duration=timedelta(days=2))
Answer = tuple[Reply, Position]
Way = Literal["writer", "call", "keyed call"]
"""Straight to the writer; through the executor, which may forward it; and with an Idempotency-Key as well."""


class LocatedRefusal(Refusal):
    """A refusal, and the position that it was based on."""

    code = "located"

    def __init__(self, refusal: Refusal, position: Position) -> None:
        super().__init__()
        self.refusal = refusal
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(abc.ABC):
    """`decide` is what the handler of the request would do.

    `expected` is what a model knows to be right: just before the commit of an answer that has one, else just after
    the commit that the answer stands on. None where the model knows nothing.
    """

    name: str
    target: str
    way: Way = "writer"

    @property
    def is_keyed(self) -> bool:
        return self.way == "keyed call"

    @abc.abstractmethod
    def decide(self, draft: Draft) -> Reply: ...

    @abc.abstractmethod
    def expected(self, model: Model) -> Reply | None: ...

    async def transact(self, replica: Replica, trace: str) -> Answer:
        """By the writer alone."""
        origin = Origin(actor=_ACTOR, trace=trace)
        try:
            done = await replica.writer.transact(self.target, self._decide_located, origin)
        except LocatedRefusal as located:
            return {"refused": located.refusal.code}, located.position
        return done.reply, done.position

    async def answer(self, replica: Replica, call: Call) -> HttpAnswer:
        """As the handler of an HTTP request does, in the process that the call came to."""
        return await replica.executor.run(call, self.target, self._decide_answer)

    def call(self, trace: str, deadline: float) -> Call:
        return Call(
            method="POST",
            path="/v1/simulation",
            key=self.name if self.is_keyed else None,
            body=b"",
            trace=trace,
            ip=None,
            user_agent=None,
            actor=_ACTOR,
            deadline=deadline,
        )

    def _decide_answer(self, draft: Draft) -> HttpAnswer:
        reply = self.decide(draft)
        return json_answer(200, reply, position_header(draft.position))

    def _decide_located(self, draft: Draft) -> Reply:
        try:
            return self.decide(draft)
        except Refusal as refusal:
            raise LocatedRefusal(refusal, draft.position) from None


def heard(answer: HttpAnswer) -> tuple[Outcome, Reply]:
    """What an HTTP answer says: an outcome, and a reply."""
    content: Reply = json.loads(answer.body) if answer.body else {"done": True}
    if answer.status < 400:
        return "ok", content
    code = content["type"].rpartition(":")[2]
    if answer.status == 503:
        return ("unknown" if code == "outcome-unknown" else "nothing"), {}
    return "ok", {"refused": code}


def place_of(answer: HttpAnswer) -> Position | None:
    partition, colon, seq = answer.headers.get(POSITION_HEADER, "").partition(":")
    return Position(partition=int(partition), seq=int(seq)) if colon else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Operation):
    """Adds one, and answers with how many there were."""

    def decide(self, draft: Draft) -> Reply:
        if not draft.state(self.target).waiting:
            expires_at = draft.at + MINUTE
            reserve = Reserve(account_id="a", challenge_id="c", code_expires_at=expires_at, limit=5)
            draft.decide(self.target, reserve)
        (reservation,) = draft.state(self.target).waiting
        draft.decide(self.target, PresentCode(matching_account_id=None, limit=10_000, at=draft.at))
        return {"count": reservation.failures}

    def expected(self, model: Model) -> Reply | None:
        return {"count": model.counts[self.target]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hurry(Count):
    """Adds one while there is time, which is over when so many decisions were taken. The model does not know when."""

    chances: list[None]

    def decide(self, draft: Draft) -> Reply:
        if draft.state(self.target) and not self.chances:
            return {"late": True}
        self.chances.pop()
        return Count.decide(self, draft)

    def expected(self, model: Model) -> Reply | None:
        assert model.counts[self.target] >= 0
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Operation):
    """Changes nothing: how many there are."""

    def decide(self, draft: Draft) -> Reply:
        return {"count": sum(reservation.failures for reservation in draft.state(self.target).waiting)}

    def expected(self, model: Model) -> Reply:
        return {"count": model.counts[self.target]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Present(Operation):
    """Presents a refresh token, which many others may present as well."""

    who: Inhabitant
    generation: int

    def decide(self, draft: Draft) -> Reply:
        session_id = self.who.person.session_id
        refresh = Refresh(
            session_id=session_id, generation=self.generation, grace=GRACE, idle=IDLE, at=draft.at
        )
        events = draft.decide(self.target, refresh)
        if any(isinstance(event, RefreshReused) for event in events):
            return {"stolen": True}
        return {"generation": draft.state(self.target).sessions[session_id].generation}

    def expected(self, model: Model) -> Reply:
        current = model.generations[self.who.person.session_id]
        if current is None or self.generation > current:
            return {"refused": InvalidGrant.code}
        if self.generation < current - 1:
            return {"stolen": True}
        return {"generation": self.generation + 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess(Operation):
    """Signs in with a wrong password; so many of them are evaluated, and no more."""

    who: Inhabitant

    def decide(self, draft: Draft) -> Reply:
        session = NewSession(
            session_id=self.name, client_id="chancery", scope="openid", idle=IDLE, absolute=ABSOLUTE
        )
        command = SignIn(
            identifier=self.who.own,
            is_password_right=False,
            challenge_id=self.name,
            challenge_lifetime=IDLE,
            session=session,
            origin=Place(ip="127.0.0.1", user_agent="simulation"),
            lock_out=LOCK_OUT,
            at=draft.at,
        )
        (failed, *_) = draft.decide(self.target, command)
        assert isinstance(failed, SignInFailed)
        return {"cause": failed.cause}

    def expected(self, model: Model) -> Reply | None:
        account_id = self.who.person.account_id
        if account_id in model.changed:
            return None
        return {"cause": "locked" if model.guesses[account_id] >= LOCK_OUT.failures else "wrong-password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(Operation):
    """Claims an address that others claim as well."""

    account_id: str

    def decide(self, draft: Draft) -> Reply:
        expires_at = draft.at + MINUTE
        claim = Claim(account_id=self.account_id, challenge_id=self.name, code_expires_at=expires_at)
        draft.decide(self.target, claim)
        return {"claimed": True}

    def expected(self, model: Model) -> Reply:
        return {"refused": EmailTaken.code} if model.holders.get(self.target) else {"claimed": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack(Operation):
    """Gives an address back, if this account has it."""

    account_id: str

    def decide(self, draft: Draft) -> Reply:
        release = Release(account_id=self.account_id, claim_id=self.account_id)
        return {"released": bool(draft.decide(self.target, release))}

    def expected(self, model: Model) -> Reply:
        return {"released": model.holders.get(self.target) == self.account_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Operation):
    """Confirms an e-mail change across partitions. The judge looks at what it left behind."""

    who: Inhabitant

    def decide(self, draft: Draft) -> Reply:
        raise AssertionError(f"{self.name} takes more than one decision, at {draft.at}")

    async def answer(self, replica: Replica, call: Call) -> HttpAnswer:
        return await replica.changes.confirm(call, self.who.person, CODES.email_change(self.who.change_id))

    def expected(self, model: Model) -> Reply | None:
        """The first decision that finds the change made or gone answers; which it is, only the addresses tell."""
        return {"refused": "invalid-token"} if model.generations[self.who.person.session_id] is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Change):
    """Undoes such a change, if it was made and the time for it is not over."""

    async def answer(self, replica: Replica, call: Call) -> HttpAnswer:
        undo = CODES.undo(self.who.person.account_id, self.who.change_id)
        return await replica.changes.undo(call, undo)

    def expected(self, model: Model) -> Reply | None:
        return None if self.who.person.account_id in model.changed else {"refused": "invalid-code"}


def account_of(who: Inhabitant) -> str:
    return account_stream(who.person.account_id)
