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


@fact("signing_key.rotated")
class SigningKeyRotated(Event):
    """A new key, published at once. It signs from `activates_at` on; the others verify until `others_retire_at`.

    Between the two times the last tokens of the others expire.
    """

    kid: str
    alg: str
    public_jwk: tuple[tuple[str, str], ...]
    rotated_at: datetime
    activates_at: datetime
    others_retire_at: datetime
    private_pem: str | None = personal(default=None)


@fact("signing_key.retired")
class SigningKeyRetired(Event):
    """The last token of this key has expired; its private half is needed no more."""

    kid: str
