"""The keys that sign access tokens. The newest signs; all of them verify."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.aggregate import Aggregate
from events.fact import Event
from events.signing_keys import SigningKeyCreated


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFirstKey:
    """Wanted at every start; a key that exists already makes it no news."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    private_pem: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """`private_pem` is None once its data key was erased: it verifies, and signs no more."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    private_pem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """Oldest first."""

    keys: tuple[SigningKey, ...] = ()


INITIAL = SigningKeys()


def decide(state: SigningKeys, command: CreateFirstKey) -> tuple[Event, ...]:
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


def evolve(state: SigningKeys, event: Event) -> SigningKeys:
    if not isinstance(event, SigningKeyCreated):
        return state
    key = SigningKey(kid=event.kid, alg=event.alg, public_jwk=event.public_jwk, private_pem=event.private_pem)
    return replace(state, keys=(*state.keys, key))


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)
