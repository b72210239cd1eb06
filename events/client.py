"""Facts about a machine client: what it may ask for, its secret's digest, tokens it gave up."""

from datetime import datetime

from events.fact import Event, fact


@fact("client.registered")
class ClientRegistered(Event):
    """`secret_digest` is base64url SHA-256 of a secret with 256 random bits, which needs no slow hash."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    secret_digest: str
    registered_at: datetime


@fact("client.token_revoked")
class ClientTokenRevoked(Event):
    jti: str
    expires_at: datetime
