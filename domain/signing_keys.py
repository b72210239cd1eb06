"""The keys that sign access tokens, and their rotation with overlap.

| key       | while                                                   | published | verifies | signs |
|-----------|---------------------------------------------------------|-----------|----------|-------|
| announced | its `activates_at` is to come                           | yes       | yes      | no    |
| signing   | it is the newest of those whose `activates_at` has come | yes       | yes      | yes   |
| outgoing  | a newer one signs, its `retires_at` is to come          | yes       | yes      | no    |
| retired   | its `retires_at` has come                               | no        | no       | no    |

A key is announced before it signs, so that everybody knows it by its first token; it retires once its last
token has expired. Where no key may sign (the one that did was erased), the newest that can does.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from domain.aggregate import Aggregate
from events.fact import Event, personal
from events.signing_keys import SigningKeyCreated, SigningKeyRetired, SigningKeyRotated

CLOCK_MARGIN = timedelta(seconds=5)
"""So much later than another a process may begin to sign with a new key, and its last old token expire."""
REMEMBERED_FOR = timedelta(days=1)
"""So long a retired key stays in the state, in case that time ran ahead here when it was retired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFirstKey:
    """Wanted at every start; a key that exists already makes it no news."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    private_pem: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKey:
    """`lead` is how long the key is known before it signs; `token_lifetime` how long an access token lives."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    private_pem: str
    lead: timedelta
    token_lifetime: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireKeys:
    """Forget the private halves of keys whose time is over. `at` is real time, which no token outlives."""

    at: datetime


Command = CreateFirstKey | RotateKey | RetireKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """`private_pem` is None once it retired or its data key was erased; `retires_at` while nothing follows it."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    private_pem: str | None = personal(default=None)
    activates_at: datetime
    retires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """Oldest first."""

    keys: tuple[SigningKey, ...] = ()


INITIAL = SigningKeys()


def decide(state: SigningKeys, command: Command) -> tuple[Event, ...]:
    match command:
        case CreateFirstKey():
            return _create_first(state, command)
        case RotateKey():
            return _rotate(command)
        case RetireKeys():
            return tuple(SigningKeyRetired(kid=key.kid) for key in retirable(state, command.at))
        case _:
            assert_never(command)


def evolve(state: SigningKeys, event: Event) -> SigningKeys:
    match event:
        case SigningKeyCreated():
            key = SigningKey(
                kid=event.kid,
                alg=event.alg,
                public_jwk=event.public_jwk,
                private_pem=event.private_pem,
                activates_at=event.created_at,
            )
            return replace(state, keys=(*state.keys, key))
        case SigningKeyRotated():
            return _rotated(state, event)
        case SigningKeyRetired():
            keys = tuple(
                replace(key, private_pem=None) if key.kid == event.kid else key for key in state.keys
            )
            return replace(state, keys=keys)
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def signing(state: SigningKeys, at: datetime) -> SigningKey | None:
    """The key that signs at this time; None if there is none that can."""
    able = [key for key in state.keys if key.private_pem is not None]
    active = [key for key in able if key.activates_at <= at]
    return next(reversed(active or able), None)


def verifying(state: SigningKeys, at: datetime) -> tuple[SigningKey, ...]:
    """The keys whose tokens are good at this time, oldest first."""
    return tuple(key for key in state.keys if key.retires_at is None or at < key.retires_at)


def retirable(state: SigningKeys, at: datetime) -> tuple[SigningKey, ...]:
    """Keys whose time is over and whose private half is still here."""
    over = set(state.keys) - set(verifying(state, at))
    return tuple(key for key in state.keys if key in over and key.private_pem is not None)


def _create_first(state: SigningKeys, command: CreateFirstKey) -> tuple[Event, ...]:
    if any(key.private_pem is not None for key in state.keys):
        return ()
    created = SigningKeyCreated(
        kid=command.kid,
        alg=command.alg,
        public_jwk=command.public_jwk,
        created_at=command.at,
        private_pem=command.private_pem,
    )
    return (created,)


def _rotate(command: RotateKey) -> tuple[Event, ...]:
    activates_at = command.at + command.lead
    rotated = SigningKeyRotated(
        kid=command.kid,
        alg=command.alg,
        public_jwk=command.public_jwk,
        rotated_at=command.at,
        activates_at=activates_at,
        others_retire_at=activates_at + command.token_lifetime + CLOCK_MARGIN,
        private_pem=command.private_pem,
    )
    return (rotated,)


def _rotated(state: SigningKeys, event: SigningKeyRotated) -> SigningKeys:
    """A key that was about to retire does so when it was to; the others now have their time."""
    key = SigningKey(
        kid=event.kid,
        alg=event.alg,
        public_jwk=event.public_jwk,
        private_pem=event.private_pem,
        activates_at=event.activates_at,
    )
    others = tuple(
        replace(other, retires_at=other.retires_at or event.others_retire_at)
        for other in verifying(state, event.rotated_at - REMEMBERED_FOR)
    )
    return replace(state, keys=(*others, key))
