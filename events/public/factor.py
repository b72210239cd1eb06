"""Public events about second factors: that there is one more or one less, never anything that it consists of."""

from typing import Annotated

from msgspec import Meta

from events.public.event import AccountId, PublicEvent, known_values, public_event

FactorKind = Annotated[
    str, known_values("`totp`: codes of an authenticator app; `passkey`: WebAuthn.", "totp", "passkey")
]
FactorId = Annotated[
    str,
    Meta(
        description="Which one of its kind; empty for `totp`, of which there is one at most.",
        examples=["aeu5d2xq7hk3mzv4r6t5yw3ubn"],
    ),
]
Left = Annotated[int, Meta(description="How many of the set were not used.", examples=[9])]


@public_event("factor.enrolled", about="account_id")
class FactorEnrolled(PublicEvent):
    """The account has one more second factor. A password alone does not open it from now on."""

    account_id: AccountId
    kind: FactorKind
    factor_id: FactorId


@public_event("factor.removed", about="account_id")
class FactorRemoved(PublicEvent):
    """The account has this second factor no more. The sessions that ended with it have events of their own."""

    account_id: AccountId
    kind: FactorKind
    factor_id: FactorId


@public_event("recovery_codes.issued", about="account_id")
class RecoveryCodesIssued(PublicEvent):
    """The account has a new set of recovery codes; those before are dead."""

    account_id: AccountId
    count: Left


@public_event("recovery_code.used", about="account_id")
class RecoveryCodeUsed(PublicEvent):
    """Somebody signed in with a recovery code instead of a factor."""

    account_id: AccountId
