"""Public events about accounts and their passwords. Nothing that a person typed in is ever part of them."""

from typing import Annotated

from events.public.event import AccountId, EraseAfter, LockedUntil, PublicEvent, known_values, public_event

SignUpPolicyName = Annotated[
    str,
    known_values(
        "`verify`: the account waits for proof of its address; `open`: it may be used at once.",
        "verify",
        "open",
    ),
]
DiscardCauseName = Annotated[
    str, known_values("Why the sign-up will never be an account.", "superseded", "other-verified")
]


@public_event("account.registered", about="account_id")
class AccountRegistered(PublicEvent):
    """Somebody signed up."""

    account_id: AccountId
    policy: SignUpPolicyName


@public_event("account.verified", about="account_id")
class AccountVerified(PublicEvent):
    """The account's address was proven; from now on it may be used."""

    account_id: AccountId


@public_event("account.discarded", about="account_id")
class AccountDiscarded(PublicEvent):
    """A sign-up that was never proven is void. Nothing more is heard of this account."""

    account_id: AccountId
    cause: DiscardCauseName


@public_event("account.locked", about="account_id")
class AccountLocked(PublicEvent):
    """Passwords are refused for a while after too many failures. Running sessions go on."""

    account_id: AccountId
    locked_until: LockedUntil


@public_event("account.unlocked", about="account_id")
class AccountUnlocked(PublicEvent):
    """An administrator ended the lock-out."""

    account_id: AccountId


@public_event("account.disabled", about="account_id")
class AccountDisabled(PublicEvent):
    """An administrator shut the account. Its sessions are revoked, each in an event of its own."""

    account_id: AccountId


@public_event("account.enabled", about="account_id")
class AccountEnabled(PublicEvent):
    """An administrator opened the account again."""

    account_id: AccountId


@public_event("account.closed", about="account_id")
class AccountClosed(PublicEvent):
    """The account was closed for good. Erase what you hold about it."""

    account_id: AccountId
    erase_after: EraseAfter


@public_event("email.changed", about="account_id")
class EmailChanged(PublicEvent):
    """The account has another e-mail address. Whoever may know it asks the Query API."""

    account_id: AccountId


@public_event("email.restored", about="account_id")
class EmailRestored(PublicEvent):
    """A change of the e-mail address was undone from the old address: the account may have been taken over."""

    account_id: AccountId


@public_event("profile.changed", about="account_id")
class ProfileChanged(PublicEvent):
    """The account's name changed. Whoever may know it asks the Query API."""

    account_id: AccountId


@public_event("password.changed", about="account_id")
class PasswordChanged(PublicEvent):
    """A signed-in person changed the password."""

    account_id: AccountId


@public_event("password.reset", about="account_id")
class PasswordReset(PublicEvent):
    """The password was replaced by a mailed code. A lock-out ends with it."""

    account_id: AccountId
