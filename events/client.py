"""Facts about a machine client: what it may ask for, its secrets' digests, tokens it gave up, its end."""

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


@fact("client.secret_added")
class ClientSecretAdded(Event):
    """The newest two secrets of a client are good; one that is older than those is dead."""

    secret_digest: str
    added_at: datetime


@fact("client.deleted")
class ClientDeleted(Event):
    """Its secrets and all its tokens are dead. The id is never used again."""

    deleted_at: datetime


@fact("client.token_revoked")
class ClientTokenRevoked(Event):
    jti: str
    expires_at: datetime
