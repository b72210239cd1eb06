"""A machine client: its scopes, its secret's digest, and which of its tokens it gave up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from domain.aggregate import Aggregate
from domain.refusals import ClientExists
from events.client import ClientRegistered, ClientTokenRevoked
from events.fact import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterClient:
    client_id: str
    name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digest: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeClientToken:
    jti: str
    expires_at: datetime
    at: datetime


Command = RegisterClient | RevokeClientToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No such client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """`revoked` maps the ids of given-up tokens that are not expired yet to their expiry."""

    client_id: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digest: str
    revoked: Mapping[str, datetime] = field(default_factory=dict)


Client = Unknown | Registered
INITIAL: Client = Unknown()


def decide(state: Client, command: Command) -> tuple[Event, ...]:
    match command:
        case RegisterClient():
            return _register(state, command)
        case RevokeClientToken():
            return _revoke_token(state, command)
        case _:
            assert_never(command)


def evolve(state: Client, event: Event) -> Client:
    match state, event:
        case Unknown(), ClientRegistered():
            return Registered(
                client_id=event.client_id,
                scopes=event.scopes,
                audiences=event.audiences,
                secret_digest=event.secret_digest,
            )
        case Registered(), ClientTokenRevoked():
            return replace(state, revoked={**state.revoked, event.jti: event.expires_at})
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def _register(state: Client, command: RegisterClient) -> tuple[Event, ...]:
    if isinstance(state, Registered):
        raise ClientExists
    registered = ClientRegistered(
        client_id=command.client_id,
        name=command.name,
        scopes=command.scopes,
        audiences=command.audiences,
        secret_digest=command.secret_digest,
        registered_at=command.at,
    )
    return (registered,)


def _revoke_token(state: Client, command: RevokeClientToken) -> tuple[Event, ...]:
    is_known = isinstance(state, Registered) and command.jti not in state.revoked
    if not is_known or command.expires_at <= command.at:
        return ()
    return (ClientTokenRevoked(jti=command.jti, expires_at=command.expires_at),)
