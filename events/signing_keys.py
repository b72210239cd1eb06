"""Facts about the keys that sign access tokens. The private half is sealed."""

from datetime import datetime

from events.fact import Event, fact, personal


@fact("signing_key.created")
class SigningKeyCreated(Event):
    """`public_jwk` is the RFC 7517 public key as sorted (name, value) pairs; `private_pem` is PKCS #8."""

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    created_at: datetime
    private_pem: str | None = personal(default=None)
