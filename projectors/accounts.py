"""Builds `accounts`: who is registered, under which address and name, whether it is open, and who signs in."""

from collections.abc import Sequence

from msgspec.structs import replace

from events.account import (
    AccountClosed,
    AccountDisabled,
    AccountEnabled,
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    EmailVerified,
    PasswordChanged,
    PasswordReset,
    ProfileChanged,
    RegistrationDiscarded,
    SessionStarted,
)
from events.email_change import EmailChanged, EmailChangeUndone
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_columns, fold_rows, storable
from readmodels.accounts import Account, account_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class Accounts(Versioned):
    read_model = "accounts"
    parks = True
    handles = frozenset(
        {
            AccountRegistered,
            EmailVerified,
            RegistrationDiscarded,
            ProfileChanged,
            EmailChanged,
            EmailChangeUndone,
            SessionStarted,
            PasswordChanged,
            PasswordReset,
            AccountLocked,
            AccountUnlocked,
            AccountDisabled,
            AccountEnabled,
            AccountClosed,
        }
    )

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(fact.stream.removeprefix("account-"), fact) for fact in facts]
        rows = await account_rows(tx, self.name, {key for key, _ in keyed})
        changed, gone = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], *as_columns(Account, changed))
        if gone:
            await tx.execute(of_table(_SQL, self.name)["delete"], gone)


def evolve(row: Account | None, fact: RecordedFact) -> Account | None:
    match row, fact.event:
        case None, AccountRegistered() as event:
            return _registered(event)
        case Account(status="pending"), EmailVerified():
            return replace(row, status="active", email_verified=True)
        case Account(), EmailVerified():
            return replace(row, email_verified=True)
        case Account(status="pending"), RegistrationDiscarded():
            return None
        case Account(status="active"), ProfileChanged() as event:
            return replace(row, display_name=storable(event.display_name))
        case Account(), (EmailChanged() | EmailChangeUndone()) as event:
            return replace(row, email=storable(event.email), email_verified=True)
        case Account(), _:
            return _evolve_access(row, fact)
        case _:
            return row


def _evolve_access(row: Account, fact: RecordedFact) -> Account:
    """Whether it is open. As in the log's own rules, a sign-in and a reset end a lock-out."""
    match fact.event:
        case SessionStarted() as event:
            return replace(row, last_sign_in_at=event.started_at, locked_until=None)
        case PasswordChanged():
            return replace(row, password_changed_at=fact.at)
        case PasswordReset():
            return replace(row, password_changed_at=fact.at, locked_until=None)
        case AccountLocked() as event:
            return replace(row, locked_until=event.locked_until)
        case AccountUnlocked():
            return replace(row, locked_until=None)
        case AccountDisabled() as event:
            return replace(row, status="disabled", disabled_at=event.disabled_at)
        case AccountEnabled() if row.status == "disabled":
            return replace(row, status="active", disabled_at=None)
        case AccountClosed() as event:
            return replace(row, status="closed", closed_at=event.closed_at, erase_after=event.erase_after)
        case _:
            return row


def _registered(event: AccountRegistered) -> Account:
    return Account(
        account_id=event.account_id,
        status="active" if event.policy == "open" else "pending",
        email=storable(event.email),
        email_verified=False,
        display_name=storable(event.display_name),
        created_at=event.registered_at,
    )
