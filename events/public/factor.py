"""Public events about second factors: that there is one more or one less, never anything that it consists of."""

from typing import Annotated

from msgspec import Meta

from events.public.event import AccountId, LockedUntil, PublicEvent, public_event

PasskeyId = Annotated[
    str, Meta(description="A passkey of the account.", examples=["aeu5d2xq7hk3mzv4r6t5yw3ubn"])
]


@public_event("totp.enrolled", about="account_id")
class TotpEnrolled(PublicEvent):
    """The account has an authenticator app: a password alone does not open it from now on."""

    account_id: AccountId


@public_event("totp.removed", about="account_id")
class TotpRemoved(PublicEvent):
    """The account has no authenticator app any more. Sessions that ended with it have events of their own."""

    account_id: AccountId


@public_event("passkey.registered", about="account_id")
class PasskeyRegistered(PublicEvent):
    """The account has one more passkey: a password alone does not open it from now on."""

    account_id: AccountId
    passkey_id: PasskeyId


@public_event("passkey.removed", about="account_id")
class PasskeyRemoved(PublicEvent):
    """The account has this passkey no more. Sessions that ended with it have events of their own."""

    account_id: AccountId
    passkey_id: PasskeyId


@public_event("factors.locked", about="account_id")
class FactorsLocked(PublicEvent):
    """Codes of the second step are refused for a while after too many wrong ones. Whoever tried knew the password."""

    account_id: AccountId
    locked_until: LockedUntil


@public_event("recovery_codes.issued", about="account_id")
class RecoveryCodesIssued(PublicEvent):
    """The account has a new set of recovery codes; those before are dead."""

    account_id: AccountId


@public_event("recovery_code.used", about="account_id")
class RecoveryCodeUsed(PublicEvent):
    """Somebody signed in with a recovery code in place of a factor."""

    account_id: AccountId
