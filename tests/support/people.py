"""Facts about made-up people, in streams with real names."""

from dataclasses import replace
from datetime import datetime

from events.account import AccountRegistered, SessionRevoked, SessionStarted
from events.client import ClientRegistered, ClientTokenRevoked
from events.streams import account_stream, new_id
from tests.support.examples import MINUTE, NOON, REGISTERED, started


def account_id_in(partition: int) -> str:
    """A fresh account id whose stream lies in this partition, for every count of partitions above it."""
    return new_id(partition)


def registered(account_id: str, at: datetime = NOON) -> AccountRegistered:
    return replace(
        REGISTERED,
        account_id=account_id,
        challenge_id=f"challenge-{account_id}",
        registered_at=at,
        code_expires_at=at + 15 * MINUTE,
    )


def session_of(account_id: str, number: int = 1, at: datetime = NOON) -> SessionStarted:
    return started(f"{account_id}-s{number}", at)


def revoked(session: SessionStarted) -> SessionRevoked:
    return SessionRevoked(session_id=session.session_id, cause="sign-out")


def stream_of(account_id: str) -> str:
    return account_stream(account_id)


def client(client_id: str) -> ClientRegistered:
    return ClientRegistered(
        client_id=client_id,
        name="edge",
        scopes=("chancery.introspect",),
        audiences=("chancery", "https://api.example.com"),
        secret_digest="digest",
        registered_at=NOON,
    )


def given_up(jti: str, expires_at: datetime) -> ClientTokenRevoked:
    return ClientTokenRevoked(jti=jti, expires_at=expires_at)
