"""Requests that carried an Idempotency-Key: the first body claims the key, the first answer is kept.

Two streams share these rules. `request-…` lives where its key hashes to and says which body came first;
`answer-…` lives beside what the request changed, so that effect and answer are one commit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from domain.aggregate import Aggregate
from domain.refusals import IdempotencyKeyReused
from events.fact import Event, personal
from events.idempotency import RequestAnswered, RequestReceived

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    fingerprint: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAnswer:
    answer: str
    at: datetime


Command = Receive | KeepAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Nothing came under this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    fingerprint: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`answer` is None once its data key was erased."""

    answered_at: datetime
    answer: str | None = personal(default=None)


Request = Fresh | Received | Answered
INITIAL: Request = Fresh()


def decide(state: Request, command: Command) -> tuple[Event, ...]:
    match command:
        case Receive():
            return _receive(state, command)
        case KeepAnswer():
            return (RequestAnswered(answer=command.answer, answered_at=command.at),)
        case _:
            assert_never(command)


def evolve(state: Request, event: Event) -> Request:
    match event:
        case RequestReceived():
            return Received(fingerprint=event.fingerprint, received_at=event.received_at)
        case RequestAnswered():
            return Answered(answer=event.answer, answered_at=event.answered_at)
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve, kept_for=KEPT_FOR)


def kept_answer(state: Request, at: datetime) -> str | None:
    """The answer that a repeated request gets, while it is kept."""
    if isinstance(state, Answered) and at < state.answered_at + KEPT_FOR:
        return state.answer
    return None


def is_claimed(state: Request, at: datetime) -> bool:
    """Whether a body came under this key, and the key still stands for it."""
    return isinstance(state, Received) and at < state.received_at + KEPT_FOR


def _receive(state: Request, command: Receive) -> tuple[Event, ...]:
    if isinstance(state, Received) and is_claimed(state, command.at):
        if state.fingerprint != command.fingerprint:
            raise IdempotencyKeyReused
        return ()
    return (RequestReceived(fingerprint=command.fingerprint, received_at=command.at),)
