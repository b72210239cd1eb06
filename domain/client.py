"""A machine client: its scopes, its newest secrets' digests, and which of its tokens it gave up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from domain.aggregate import Aggregate
from domain.refusals import ClientExists, UnknownClient
from events.client import ClientDeleted, ClientRegistered, ClientSecretAdded, ClientTokenRevoked
from events.fact import Event

LIVE_SECRETS = 2
"""One in use and one that takes its place, so that a secret changes without an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterClient:
    client_id: str
    name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digest: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddClientSecret:
    secret_digest: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteClient:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeClientToken:
    jti: str
    expires_at: datetime
    at: datetime


Command = RegisterClient | AddClientSecret | DeleteClient | RevokeClientToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No such client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """`secret_digests` are those of the live secrets, oldest first.

    `revoked` maps the ids of given-up tokens that are not expired yet to their expiry.
    """

    client_id: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digests: tuple[str, ...]
    revoked: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Was a client, and never will be again."""


Client = Unknown | Registered | Deleted
INITIAL: Client = Unknown()


def decide(state: Client, command: Command) -> tuple[Event, ...]:
    match command:
        case RegisterClient():
            return _register(state, command)
        case AddClientSecret():
            return _add_secret(state, command)
        case DeleteClient():
            return _delete(state, command)
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
                secret_digests=(event.secret_digest,),
            )
        case Registered(), ClientSecretAdded():
            digests = (*state.secret_digests, event.secret_digest)
            return replace(state, secret_digests=digests[-LIVE_SECRETS:])
        case Registered(), ClientDeleted():
            return Deleted()
        case Registered(), ClientTokenRevoked():
            return replace(state, revoked={**state.revoked, event.jti: event.expires_at})
        case _:
            return state


AGGREGATE = Aggregate(initial=INITIAL, decide=decide, evolve=evolve)


def _register(state: Client, command: RegisterClient) -> tuple[Event, ...]:
    if not isinstance(state, Unknown):
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


def _add_secret(state: Client, command: AddClientSecret) -> tuple[Event, ...]:
    if not isinstance(state, Registered):
        raise UnknownClient
    return (ClientSecretAdded(secret_digest=command.secret_digest, added_at=command.at),)


def _delete(state: Client, command: DeleteClient) -> tuple[Event, ...]:
    match state:
        case Unknown():
            raise UnknownClient
        case Registered():
            return (ClientDeleted(deleted_at=command.at),)
        case Deleted():
            return ()
        case _:
            assert_never(state)


def _revoke_token(state: Client, command: RevokeClientToken) -> tuple[Event, ...]:
    is_known = isinstance(state, Registered) and command.jti not in state.revoked
    if not is_known or command.expires_at <= command.at:
        return ()
    return (ClientTokenRevoked(jti=command.jti, expires_at=command.expires_at),)
