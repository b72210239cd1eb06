"""Builds `accounts_v1`: who is registered, under which address and name, and whether that was proven."""

from collections.abc import Sequence
from dataclasses import replace

from events.account import AccountRegistered, EmailVerified, ProfileChanged, RegistrationDiscarded
from eventstore.facts import RecordedFact
from projectors.projector import as_json, fold_rows, storable
from readmodels.accounts_v1 import Account, account_rows
from readmodels.statements import load_statements
from runtime.postgres import Connection

_SQL = load_statements(__file__)


class AccountsV1:
    name = "accounts_v1"
    handles = frozenset({AccountRegistered, EmailVerified, RegistrationDiscarded, ProfileChanged})

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(fact.stream.removeprefix("account-"), fact) for fact in facts]
        rows = await account_rows(tx, {key for key, _ in keyed})
        changed, gone = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(_SQL["write"], as_json(changed))
        if gone:
            await tx.execute(_SQL["delete"], gone)


def evolve(row: Account | None, fact: RecordedFact) -> Account | None:
    match row, fact.event:
        case None, AccountRegistered() as event:
            return Account(
                account_id=event.account_id,
                status="active" if event.policy == "open" else "pending",
                email=storable(event.email),
                email_verified=False,
                display_name=storable(event.display_name),
                created_at=event.registered_at,
            )
        case Account(), EmailVerified():
            return replace(row, status="active", email_verified=True)
        case Account(status="pending"), RegistrationDiscarded():
            return None
        case Account(status="active"), ProfileChanged() as event:
            return replace(row, display_name=storable(event.display_name))
        case _:
            return row
