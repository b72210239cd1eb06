"""Public events about the keys that sign access tokens. The keys themselves are in the published key set."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from events.public.event import KeyId, PublicEvent, moment, public_event

Algorithm = Annotated[
    str, Meta(description="JWS algorithm (RFC 7518, RFC 8037).", examples=["ES256", "EdDSA", "RS256"])
]


@public_event("signing_key.created", about="kid")
class SigningKeyCreated(PublicEvent):
    """The first key; it signs at once."""

    kid: KeyId
    alg: Algorithm


@public_event("signing_key.rotated", about="kid")
class SigningKeyRotated(PublicEvent):
    """A new key is published, and will take over. Whoever caches the key set fetches it again."""

    kid: KeyId
    alg: Algorithm
    activates_at: Annotated[datetime, moment("It signs from then on.")]
    others_retire_at: Annotated[datetime, moment("Until then the keys before it verify.")]


@public_event("signing_key.retired", about="kid")
class SigningKeyRetired(PublicEvent):
    """The last token of this key has expired: believe no token that it signed."""

    kid: KeyId
