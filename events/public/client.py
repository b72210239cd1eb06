"""Public events about machine clients. A client's name and its secrets are no part of them."""

from typing import Annotated

from msgspec import Meta

from events.public.event import ClientId, ExpiresAt, PublicEvent, public_event

Scopes = Annotated[
    tuple[str, ...], Meta(description="What it may ask for.", examples=[["chancery.introspect"]])
]
Audiences = Annotated[tuple[str, ...], Meta(description="Whom its tokens are for.", examples=[["chancery"]])]
TokenId = Annotated[str, Meta(description="`jti` of an access token.", examples=["q7hk3mzx2v5r4t6yw5"])]


@public_event("client.registered", about="client_id")
class ClientRegistered(PublicEvent):
    """An administrator registered a client."""

    client_id: ClientId
    scopes: Scopes
    audiences: Audiences


@public_event("client.secret_added", about="client_id")
class ClientSecretAdded(PublicEvent):
    """The client has one more secret; of more than two the oldest is dead."""

    client_id: ClientId


@public_event("client.deleted", about="client_id")
class ClientDeleted(PublicEvent):
    """The client and all its tokens are refused from now on."""

    client_id: ClientId


@public_event("client.token_revoked", about="client_id")
class ClientTokenRevoked(PublicEvent):
    """The client gave up one of its access tokens."""

    client_id: ClientId
    jti: TokenId
    expires_at: ExpiresAt
